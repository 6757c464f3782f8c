"""Schedules, compared with recorded answers of Harbor and of the cron library that it uses."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.schedule import Schedule, parse_maintenance, slot
from tests.data.model import rows

#: What Harbor takes and we refuse, by purpose. Each pattern is found in the reason.
ON_PURPOSE = {
    "fires too often": re.compile(r"every minute|the minimum is 5"),
    "never occurs": re.compile(r"never occurs|never runs"),
    "extra spaces": re.compile(r"blank|extra spaces"),
}


def reason(text: str, **options: bool) -> str | None:
    try:
        Schedule.parse(text, name="nginx", **options)
    except Refused as refused:
        return refused.reason
    return None


def purpose(text: str) -> str | None:
    return next((name for name, words in ON_PURPOSE.items() if words.search(reason(text) or "")), None)


def test_crons_of_rules_agree_with_recorded_answers() -> None:
    purposes: Counter[str] = Counter()
    agreed = 0
    for row in rows("cron-rules"):
        refused = reason(row["cron"])
        if row["cron"] == "0 0 0 H * *":
            # Ours, and replaced before Harbor sees it.
            assert refused is None
        elif row["status"] != 400 and refused is not None:
            purposes[purpose(row["cron"]) or f"UNEXPLAINED {row['cron']!r}: {refused}"] += 1
        else:
            assert (row["status"] == 400) == (refused is not None), row
            agreed += 1
    print(f"recorded crons of rules: {agreed} agree, refused on purpose: {dict(purposes)}")
    assert purposes == {"fires too often": 7, "never occurs": 2, "extra spaces": 4}
    assert agreed == len(rows("cron-rules")) - 13 - 1


def test_crons_of_maintenance_agree_with_recorded_answers() -> None:
    purposes: Counter[str] = Counter()
    for row in rows("cron-maintenance"):
        try:
            parse_maintenance(row["cron"], name="gc")
        except Refused:
            if row["status"] in (200, 201):
                purposes[row["cron"]] += 1
        else:
            assert row["status"] in (200, 201), row
    # `0 */5` is fine; every minute, a leading blank, an empty text and the date that never answered are not.
    assert purposes == {"0 * * * * *": 3, " 0 0 0 * * *": 2, "": 1}


def test_messages_for_maintenance_do_not_name_allow_frequent() -> None:
    with pytest.raises(Refused) as refused:
        parse_maintenance("0 */2 * * * *", name="gc")
    assert "allowFrequent" not in refused.value.reason
    assert "allowFrequent" in (reason("0 */2 * * * *") or "")


def test_crons_agree_with_the_recorded_library() -> None:
    fired = 0
    for row in rows("cron-library"):
        cron = row["cron"]
        if "error" in row:
            assert reason(cron, allow_frequent=True), row
        elif row["next"] is None:
            assert re.search(r"never", reason(cron, allow_frequent=True) or ""), row
        else:
            schedule = Schedule.parse(cron, name="any", allow_frequent=True)
            found = schedule.next(datetime.fromisoformat(row["after"]), 4)
            assert [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in found][: len(row["next"])] == row["next"], row
            assert schedule.cron == cron
            fired += 1
    assert fired > 150


@pytest.mark.parametrize(
    ("text", "words", "example"),
    [
        ("0 */1 * * * *", "runs every minute", "0 0 * * * *"),
        ("0 */2 * * * *", "leaves 2 minutes between", "0 0 */2 * * *"),
        ("0 */4 * * * *", "leaves 4 minutes between", "0 0 */4 * * *"),
        ("0 * * * * *", "every minute", "0 0 * * * *"),
        ("0 * 3 * * *", "every minute", "0 0 3 * * *"),
        ("0 0-59 * * * *", "runs every minute", "0 0 * * * *"),
        ("0 0-59/1 * * * *", "runs every minute", "0 0 * * * *"),
        ("0 ? * * * *", "runs every minute", "0 0 * * * *"),
        ("0 0/1 * * * *", "runs every minute", "0 0 * * * *"),
        ("0 *,0 * * * *", "runs every minute", "0 0 * * * *"),
        ("0 0,1,2,3 * * * *", "leaves 1 minute between", "0 0 * * * *"),
        ("* 0/15 * * * *", "second other than 0", "0 0/15 * * * *"),
        ("15 0 2 * * *", "second other than 0", "0 0 2 * * *"),
        ("00 0 0 * * *", "second other than 0", "0 0 0 * * *"),
        ("* * * * * *", "second other than 0", "0 0 * * * *"),
        ("H 0 0 * * *", "second other than 0", "0 0 0 * * *"),
        ("30 2 * * *", "five fields", "0 30 2 * * *"),
        ("* * * * *", "five fields", "0 0 * * * *"),
        ("*/5 * * * *", "five fields", "0 */5 * * * *"),
        ("0 0 * * 7", "five fields", "0 0 0 * * 0"),
        ("0 0 0 * * ? 2030", "seven fields", "0 0 0 * * ?"),
        ("0 0 0 * * * *", "seven fields", "0 0 0 * * *"),
        ("@daily", "descriptor", "0 0 0 * * *"),
        ("@hourly", "descriptor", "0 0 * * * *"),
        ("@weekly", "descriptor", "0 0 0 * * 0"),
        ("@every 1h", "descriptor", "0 0 * * * *"),
        ("@every 15m", "descriptor", "0 */15 * * * *"),
        ("@every 1m", "descriptor", "0 */5 * * * *"),
        ("@reboot", "descriptor", "0 0 */6 * * *"),
        ("0 0 0 * * Monday", "three letters", "0 0 0 * * MON"),
        ("0 0 0 * January *", "three letters", "0 0 0 * JAN *"),
        ("0 0 0 * * 7", "7 for Sunday", "0 0 0 * * 0"),
        ("0 0 0 * * 1-7", "7 for Sunday", "0 0 0 * * *"),
        ("0 0 22-3 * * *", "backwards", "0 0 22-23,0-3 * * *"),
        ("0 0 0 L * *", "not support L", "0 0 0 1 * *"),
        ("0 0 0 15W * *", "not support L and W", "0 0 0 1 * *"),
        ("0 0 0 * * 5#2", "not support L and #", "0 0 0 * * 5"),
        ("0 0 24 * * *", "use 0 to 23", "0 0 * * * *"),
        ("0 60 * * * *", "use 0 to 59", "0 0 * * * *"),
        ("0 0 0 0 * *", "use 1 to 31", "0 0 0 * * *"),
        ("0 0 0 */0 * *", "step", "0 0 0 * * *"),
        ("0 , * * * *", "never runs", "0 0 * * * *"),
        ("0 0 0 31 2 *", "never occurs (February has no day 31", "0 0 0 28 2 *"),
        ("0 0 0 30 2 ?", "never occurs", "0 0 0 28 2 ?"),
        ("0 0 0 30,31 FEB *", "never occurs", "0 0 0 28 FEB *"),
        ("0 0 0 31 4,6,9,11 *", "never occurs (April, June, September and November", "0 0 0 30 4,6,9,11 *"),
        ("0 H H 31 2 *", "never occurs", "0 H H 28 2 *"),
        ("0  0 0 * * *", "extra spaces", "0 0 0 * * *"),
        (" 0 0 0 * * *", "extra spaces", "0 0 0 * * *"),
        ("0 0 0 * * * ", "extra spaces", "0 0 0 * * *"),
        ("0\t0 0 * * *", "extra spaces", "0 0 0 * * *"),
        ("TZ=Asia/Tokyo 0 0 2 * * *", "always in UTC", "0 0 2 * * *"),
        (" daily", "blank", "daily"),
        ("", "blank", "manual"),
        ("Daily", "is not manual", "0 0 */6 * * *"),
        ("abc", "is not manual", "0 0 */6 * * *"),
        ("0 H/0 * * * *", "step", "0 H * * * *"),
        ("0 H/61 * * * *", "step", "0 H * * * *"),
        ("0 H(50-70) * * * *", "the range 0 to 59", "0 H * * * *"),
        ("0 Hx * * * *", "the valid forms are", "0 H * * * *"),
        ("0 H/2 * * * *", "2 minutes between", "0 0 * * * *"),
    ],
)
def test_a_rejected_schedule_has_a_reason_and_an_example(text: str, words: str, example: str) -> None:
    with pytest.raises(Refused) as refused:
        Schedule.parse(text, name="nginx")
    assert words in refused.value.reason
    assert refused.value.example == example
    Schedule.parse(example, name="nginx")


FIELD = st.text("0123456789*/,-?HLW#MONFEBsu ", max_size=5)


@given(st.one_of(st.text(max_size=20), st.lists(FIELD, min_size=5, max_size=7).map(" ".join)))
def test_the_example_of_a_rejected_schedule_is_accepted(text: str) -> None:
    try:
        schedule = Schedule.parse(text, name="any")
    except Refused as refused:
        Schedule.parse(refused.example, name="any")
    else:
        assert schedule.describe()
        if schedule.cron:
            assert schedule.next(datetime(2026, 1, 1, tzinfo=UTC))
            assert Schedule.parse(schedule.cron, name="another").times == schedule.times


@pytest.mark.parametrize("text", ["0 */1 * * * *", "0 ? * * * *", "0 */3 * * * *", "0 0,1 * * * *"])
def test_allow_frequent_accepts_frequent_runs(text: str) -> None:
    assert Schedule.parse(text, name="x", allow_frequent=True).cron == text


def test_allow_frequent_does_not_accept_a_star_for_the_minute() -> None:
    assert reason("0 * * * * *", allow_frequent=True)


@pytest.mark.parametrize("text", ["0 */5 * * * *", "0 */7 * * * *", "0 0,5 * * * *", "0 58 * * * *", "0 0,58 * * * *"])
def test_five_minutes_between_runs_are_accepted(text: str) -> None:
    assert Schedule.parse(text, name="x").cron == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("manual", "started by hand only"),
        ("0 17 */6 * * *", "every 6 hours at minute 17, UTC"),
        ("0 17 2/6 * * *", "every 6 hours at minute 17, first at 02:17, UTC"),
        ("0 0 * * * *", "every hour at minute 0, UTC"),
        ("0 30 2 * * *", "every day at 02:30, UTC"),
        ("0 30 2,14 * * *", "every 12 hours at minute 30, first at 02:30, UTC"),
        ("0 30 2,15 * * *", "every day at 02:30 and 15:30, UTC"),
        ("0 */15 * * * *", "every 15 minutes, UTC"),
        ("0 8/15 * * * *", "every 15 minutes from minute 8, UTC"),
        ("0 */25 * * * *", "at minutes 0, 25 and 50 of every hour, UTC"),
        ("0 */30 9-17 * * MON-FRI", "every Monday to Friday, every 30 minutes of hours 9 to 17, UTC"),
        ("0 0 3 * * SUN", "every Sunday at 03:00, UTC"),
        ("0 0 3 * * 0,6", "every Sunday and Saturday at 03:00, UTC"),
        ("0 0 3 1 * *", "on day 1 of the month at 03:00, UTC"),
        ("0 0 3 1,15 JAN *", "on days 1 and 15 of the month in January at 03:00, UTC"),
        ("0 0 3 1 * MON", "on day 1 of the month and every Monday at 03:00, UTC"),
        ("0 0 3 15 * 0-6", "every day at 03:00, UTC"),
        ("0 1,2 * * * *", "at minutes 1 and 2 of every hour, UTC"),
    ],
)
def test_a_schedule_is_described(text: str, words: str) -> None:
    assert Schedule.parse(text, name="x", allow_frequent=True).describe() == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 */60 * * * *", "runs at minute 0 only"),
        ("0 0 */25 * * *", "runs at hour 0 only"),
        ("0 */25 * * * *", "starts again at 0 after minute 50"),
        ("0 0 0 1 * MON", "or the day of the week"),
        ("0 0 0 29 2 *", "once in four years"),
    ],
)
def test_surprising_schedules_have_notes(text: str, words: str) -> None:
    (note,) = Schedule.parse(text, name="x").notes()
    assert words in note


def test_a_simple_schedule_has_no_notes() -> None:
    assert Schedule.parse("0 17 */6 * * *", name="x").notes() == ()


def test_next_runs_are_in_utc() -> None:
    shanghai = timezone(timedelta(hours=8))
    runs = Schedule.parse("0 0 2 * * *", name="x").next(datetime(2026, 11, 25, 9, tzinfo=shanghai), 2)
    assert runs == [datetime(2026, 11, 25, 2, tzinfo=UTC), datetime(2026, 11, 26, 2, tzinfo=UTC)]
    with pytest.raises(ValueError, match="needs a time zone"):
        Schedule.parse("daily", name="x").next(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("manual", 0),
        ("0 */15 * * * *", 24),
        ("0 0 * * * *", 6),
        ("0 0 */6 * * *", 1),
        ("0 0 2 * * *", 1),
        ("0 0 23,0 * * *", 2),
        ("0 0 23,0 * * MON", 1),
        ("0 */30 1-3 * * *", 6),
    ],
)
def test_most_runs_in_six_hours(text: str, runs: int) -> None:
    assert Schedule.parse(text, name="x").runs_per(6) == runs


def test_schedule_names_are_hashed_crons() -> None:
    for word, form in (("hourly", "0 H * * * *"), ("daily", "0 H H * * *"), ("weekly", "0 H H * * H")):
        assert Schedule.parse(word, name="web").cron == Schedule.parse(form, name="web").cron


def test_a_hashed_value_depends_only_on_the_name() -> None:
    # These values are a promise: a release that moves them moves every rule of every user.
    crons = {name: Schedule.parse("weekly", name=name).cron for name in ("nginx", "rule-0", "rule-1", "Alpine_3")}
    assert crons == PROMISED


PROMISED = {"nginx": "0 8 4 * * 2", "rule-0": "0 47 9 * * 6", "rule-1": "0 24 0 * * 2", "Alpine_3": "0 12 12 * * 4"}


@given(st.text(max_size=12), st.sampled_from(["H", "H/15", "H(0-29)", "H(10-50)/20", "3,H"]))
def test_a_hash_stays_within_its_range(name: str, minute: str) -> None:
    times = Schedule.parse(f"0 {minute} H H H H", name=name, allow_frequent=True).times
    assert times is not None
    if minute == "H(0-29)":
        assert max(times.minutes) <= 29
    if minute == "H/15":
        assert len(times.minutes) == 4
    if minute == "H(10-50)/20":
        assert 2 <= len(times.minutes) <= 3
        assert min(times.minutes) >= 10
        assert max(times.minutes) <= 50
    assert times.days[0] <= 28


TEAMS = ("platform", "payments", "search", "data", "web", "mobile", "security", "billing", "ml", "infra")
IMAGES = tuple(
    f"{product}-{kind}"
    for product in ("nginx", "redis", "postgres", "kafka", "grafana", "alpine", "python", "node", "golang", "debian")
    for kind in ("base", "slim", "exporter", "operator", "sidecar", "init", "proxy", "agent", "worker", "api")
)
FAMILIES = {
    "rule-0 ... rule-999": [f"rule-{number}" for number in range(1000)],
    "rule-0000 ... rule-0999": [f"rule-{number:04}" for number in range(1000)],
    "numbers": [str(number) for number in range(1000)],
    "ten teams with a hundred images": [f"{team}-{image}" for team in TEAMS for image in IMAGES],
    "a hundred images in ten versions": [f"{image}-v{version}" for image in IMAGES for version in range(10)],
    "dotted versions": [f"{image}-1.{minor}" for image in IMAGES for minor in range(10)],
    "number in the middle": [f"rule-{number}-mirror" for number in range(1000)],
    "letters": [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcd"],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_thousand_daily_rules_spread_evenly(family: str) -> None:
    names = FAMILIES[family]
    assert len(set(names)) == 1000
    minutes = Counter(Schedule.parse("daily", name=name).cron for name in names)
    hours = Counter(cron.split()[2] for cron in minutes.elements())
    hourly = Counter(Schedule.parse("hourly", name=name).cron for name in names)
    assert max(minutes.values()) <= 6
    # 1,000 names over 24 hours and 60 minutes: 42 and 17 on average.
    assert max(hours.values()) <= 70
    assert max(hourly.values()) <= 35


def test_numbered_rules_have_different_minutes() -> None:
    assert len({slot(f"rule-{number}") % 1440 for number in range(1440)}) == 1440
    assert len({slot(f"rule-{number}") % 60 for number in range(60)}) == 60
