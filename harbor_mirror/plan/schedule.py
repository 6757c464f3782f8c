"""When a rule runs: parses Harbor's cron as Harbor does, and rejects what Harbor accepts but nobody means.

Harbor (measured on 2.15.2) reads exactly six fields: second, minute, hour, day of the month, month, day of the week,
in UTC. The second must be the text `0` and the minute must not be the text `*`. Harbor accepts every other way to say
"every minute", and dates that never occur, on which its job service hangs permanently. Both are rejected here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hashlib import sha256
from itertools import islice, pairwise

from cronsim import CronSim

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.cron import FIELDS, LONGEST_MONTH, MINUTE, SECOND, BadField, Field, Times
from harbor_mirror.plan.cron_text import MONTH_NAMES, describe, listed, notes

MANUAL = "manual"
WORDS = {"hourly": "0 H * * * *", "daily": "0 H H * * *", "weekly": "0 H H * * H"}
#: Descriptors of crontab(5) and other schedulers, with their six-field form.
DESCRIPTORS = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
#: Runs closer together than this are rejected unless the rule has `allowFrequent: true`.
MIN_MINUTES_APART = 5
#: Harbor's column for a schedule (measured on 2.15.2: 64 characters accepted, 65 answered 500).
CRON_LENGTH = 64
#: Shown when the value gives no hint of what was meant.
EXAMPLE = "0 0 */6 * * *"

_FORM = "six fields: second (always 0), minute, hour, day of the month, month, day of the week, in UTC"
#: Ends the reason for a schedule that `allowFrequent` would allow.
ALLOW = "; set allowFrequent: true on the rule to allow it"
#: More rules than this at one time wait for each other: Harbor's default number of job workers.
MAX_SIMULTANEOUS_RULES = 10
#: Each rule name has a number that picks its minute of the week. Different names are spread by a hash; names that
#: differ in a trailing number only (rule-0, rule-1 ...) by this stride. It is coprime to the minutes of the week, so no
#: two of 1,440 such rules share a minute of the day, and near the golden section of hour, day and week, which spreads
#: few rules, too.
_MINUTES_PER_WEEK = 7 * 24 * 60
_STRIDE = 3757


@dataclass(frozen=True)
class Schedule:
    """A valid schedule. `cron` is the exact text for Harbor, empty for a rule that is started by hand."""

    cron: str
    times: Times | None = field(repr=False, default=None)

    @classmethod
    def parse(cls, text: str, *, name: str, allow_frequent: bool = False) -> Schedule:
        """Parse `manual`, `hourly`, `daily`, `weekly` or six fields; `H` stands for a value derived from `name`.

        Raise Refused.
        """
        if text == MANUAL:
            return cls("")
        if re.fullmatch(r"(on[ _-]?)?(event([ _-]?based)?|push)", text.lower()):
            reason = "triggers push rules only: Harbor accepts it on a pull rule and never runs it"
            raise Refused(text, reason, "hourly")
        if text.strip() in {"", MANUAL, *WORDS} and text not in WORDS:
            raise Refused(text, "is blank, or has spaces around it", text.strip() or MANUAL)
        cron = WORDS.get(text, text)
        fields = _fields(cron)
        resolved, values, repaired, reasons = [], [], [], []
        for part, kind in zip(fields, FIELDS, strict=True):
            try:
                resolved.append(kind.resolve_hash(part, slot(name)))
                values.append(_field_values(kind, resolved[-1]))
                repaired.append(part)
            except BadField as error:
                reasons.append(error.reason)
                repaired.append(error.repair)
        if reasons:
            raise Refused(text, reasons[0], _repair(repaired))
        times = _times(values)
        _reject_impossible_date(text, times, fields)
        if not allow_frequent:
            _reject_frequent(text, times, fields)
        cron = " ".join(resolved)
        if len(cron) > CRON_LENGTH:
            reason = f"has {len(cron)} characters; Harbor's database holds {CRON_LENGTH}. Use steps and ranges"
            raise Refused(text, reason, EXAMPLE)
        return cls(cron, times)

    @property
    def is_manual(self) -> bool:
        """Whether nothing runs by itself."""
        return not self.cron

    @property
    def text(self) -> str:
        """The cron for Harbor, or `manual`."""
        return self.cron or MANUAL

    def describe(self) -> str:
        """Return the schedule in words, such as "every 6 hours at minute 17, UTC"."""
        return describe(self.times) if self.times else "started by hand only"

    def notes(self) -> tuple[str, ...]:
        """Return what works but may not be what was meant, one sentence each."""
        return tuple(notes(self.cron, self.times)) if self.times else ()

    def next(self, after: datetime, count: int = 1) -> list[datetime]:
        """Return the next `count` runs after `after` (an aware time), in UTC; none for a manual schedule."""
        if after.tzinfo is None:
            raise ValueError("the datetime needs a time zone: Harbor's schedules are in UTC")
        return list(islice(self._runs(after.astimezone(UTC)), count))

    def _runs(self, after: datetime) -> Iterator[datetime]:
        return iter(CronSim(self.times.canonical(), after)) if self.times else iter(())

    def runs_per(self, hours: int) -> int:
        """Return the most runs in any window of `hours` (1 to 24): what a rate limit sees on the worst day."""
        if not 1 <= hours <= 24:
            raise ValueError("the window has 1 to 24 hours")
        if self.times is None:
            return 0
        one_day = [60 * hour + minute for hour in self.times.hours for minute in self.times.minutes]
        days = 2 if _runs_on_consecutive_days(replace(self.times, minutes=(), hours=())) else 1
        minutes = [24 * 60 * day + minute for day in range(days) for minute in one_day]
        first, most = 0, 0
        for last, minute in enumerate(minutes):
            while minute - minutes[first] >= 60 * hours:
                first += 1
            most = max(most, last - first + 1)
        return most


def parse_maintenance(text: str, *, name: str) -> Schedule:
    """Parse the schedule of tag retention, garbage collection or audit log purge. Raise Refused.

    Harbor checks these less strictly than a rule's (it accepts `0 * * * * *` and a leading space), but one that never
    occurs hangs the same job service, so the same parser is used. `manual` means none.
    """
    try:
        return Schedule.parse(text, name=name)
    except Refused as refused:
        raise Refused(refused.value, refused.reason.removesuffix(ALLOW), refused.example) from None


def crowds(schedules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (first rule, sentence) for each fixed time that more than MAX_SIMULTANEOUS_RULES rules share.

    `schedules` has the valid schedule texts of rules by name.
    """
    rules: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in schedules.items():
        if text not in {MANUAL, *WORDS} and "H" not in text:
            rules[text].append(name)
    for cron, names in rules.items():
        if len(names) > MAX_SIMULTANEOUS_RULES:
            second, minute, *others = cron.split(" ")
            spread = " ".join([second, "H" if minute.isdigit() else minute.replace("*", "H"), *others])
            yield (
                names[0],
                f"{len(names)} rules start at the same time ({cron}) and wait for each other; "
                f"H gives each rule its own minute: {spread}",
            )


@cache
def slot(name: str) -> int:
    """Return a rule name's number, below the minutes of a week, from which every `H` is derived. It never changes."""
    stem, number = re.fullmatch(r"(.*?)(\d{0,9})", name, re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
    start = int.from_bytes(sha256(stem.encode()).digest()[:8])
    return (start + int(number or 0) * _STRIDE) % _MINUTES_PER_WEEK


def _fields(text: str) -> list[str]:
    """Return the six fields of a text. Raise Refused with the six-field form of what it looks like."""
    if text in DESCRIPTORS:
        raise Refused(text, f"is a cron descriptor, which Harbor rejects; use {_FORM}", DESCRIPTORS[text])
    if text.startswith("@"):
        raise Refused(text, f"is a cron descriptor, which Harbor rejects; use {_FORM}", _every(text))
    fields = text.split()
    if fields and re.match(r"(CRON_)?TZ=", fields[0]):
        raise Refused(text, "sets a time zone; Harbor's schedules are always in UTC", _repair(fields[1:]))
    if len(fields) == 5:
        raise Refused(text, f"has five fields; Harbor needs {_FORM}", _repair(["0", *fields]))
    if len(fields) == 7:
        raise Refused(text, f"has seven fields; Harbor needs {_FORM}", _repair(fields[:6]))
    if len(fields) != 6:
        raise Refused(text, f"is not manual, hourly, daily, weekly or a cron of {_FORM}", EXAMPLE)
    if text != " ".join(fields):
        raise Refused(text, "has extra spaces; use one between fields and none around them", _repair(fields))
    return fields


def _every(descriptor: str) -> str:
    period = re.fullmatch(r"@every (\d+)([mh])", descriptor)
    if period is None or not 0 < int(period[1]) < (60 if period[2] == "m" else 24):
        return EXAMPLE
    if period[2] == "m":
        return f"0 */{max(int(period[1]), MIN_MINUTES_APART)} * * * *"
    return _repair(["0", "0", "*" if period[1] == "1" else f"*/{period[1]}", "*", "*", "*"])


def _field_values(kind: Field, text: str) -> tuple[tuple[int, ...], bool]:
    if kind is SECOND and text != "0":
        raise BadField("has a second other than 0, which Harbor rejects", "0")
    if kind is MINUTE and text == "*":
        raise BadField("has * for the minute (every minute), which Harbor rejects", "0")
    return kind.parse(text)


def _times(values: Sequence[tuple[tuple[int, ...], bool]]) -> Times:
    _, (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = values
    return Times(minutes, hours, days, months, weekdays, any_day, any_weekday)


def _reject_impossible_date(text: str, times: Times, fields: Sequence[str]) -> None:
    longest = max(LONGEST_MONTH[month] for month in times.months)
    if times.either_day or times.days[0] <= longest:
        return
    months = listed([MONTH_NAMES[month - 1] for month in times.months])
    verb = "has" if len(times.months) == 1 else "have"
    reason = f"never occurs ({months} {verb} no day {times.days[0]}), and Harbor's job service would hang on it"
    repaired = [*fields[:3], str(28 if times.months == (2,) else longest), *fields[4:]]
    raise Refused(text, reason, _repair(repaired))


def _reject_frequent(text: str, times: Times, fields: Sequence[str]) -> None:
    apart = min((later - sooner for sooner, later in pairwise(times.minutes)), default=60)
    if apart >= MIN_MINUTES_APART:
        return
    if len(times.minutes) == 60:
        reason = "runs every minute"
    else:
        minutes = f"{apart} minute{'s' if apart > 1 else ''}"
        reason = f"leaves {minutes} between runs, and the minimum is {MIN_MINUTES_APART}"
    # Most people who write */2 for the minute mean every two hours.
    step = re.fullmatch(r"\*/([2-4])", fields[1])
    hour = f"*/{step[1]}" if step and fields[2] == "*" else fields[2]
    raise Refused(text, reason + ALLOW, _repair(["0", "0", hour, *fields[3:]]))


def _repair(fields: Sequence[str]) -> str:
    """Return the fields as a schedule to recommend, repaired again if they need it."""
    text = " ".join(fields)
    try:
        Schedule.parse(text, name="")
    except Refused as refused:
        return refused.example
    return text


@cache
def _runs_on_consecutive_days(days: Times) -> bool:
    # Four years have every month length and most weekday combinations; a missed combination costs one run in the count.
    start = date(2024, 1, 1)
    runs = (days.on(start + timedelta(days=day)) for day in range(4 * 366))
    return any(today and tomorrow for today, tomorrow in pairwise(runs))
