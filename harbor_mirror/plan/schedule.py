"""When a rule runs: Harbor's cron, parsed as Harbor parses it, but refused where it does what nobody means.

Harbor (measured on 2.15.2) reads exactly six fields: second, minute, hour, day of the month, month, day of the week,
in UTC. The second must be the text `0` and the minute must not be the text `*`; every other way to say "every minute"
gets through, and so does a date that never comes, which wedges Harbor's job service for good. Both are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
#: What people bring from crontab(5) and other schedulers, with its six-field form.
DESCRIPTORS = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
#: Runs closer together than this are refused unless the rule says `allowFrequent: true`.
LEAST_MINUTES_APART = 5
#: Shown when a value gives no hint of what was meant.
EXAMPLE = "0 0 */6 * * *"

_FORM = "six fields: second (always 0), minute, hour, day of the month, month, day of the week, in UTC"
_WAY_OUT = "; allowFrequent: true on the rule allows it"
#: One number per rule name picks its minute of the week: names spread by hash, and names that differ in a trailing
#: number only (rule-0, rule-1 ...) by this stride, which is coprime to the minutes of the week, so that no two of
#: 1,440 such rules share a minute of the day. Near the golden section of hour, day and week, so that few spread too.
_MINUTES_PER_WEEK = 7 * 24 * 60
_STRIDE = 3757


@dataclass(frozen=True)
class Schedule:
    """A checked schedule. `cron` is the exact text for Harbor, empty for a rule that is started by hand."""

    cron: str
    times: Times | None = field(repr=False, default=None)

    @classmethod
    def parse(cls, text: str, *, name: str, allow_frequent: bool = False) -> Schedule:
        """Reads `manual`, `hourly`, `daily`, `weekly` or six fields, in which `H` stands for a value of `name`'s own.

        Raises Refused.
        """
        if text == MANUAL:
            return cls("")
        if re.fullmatch(r"(on[ _-]?)?(event([ _-]?based)?|push)", text.lower()):
            raise Refused(
                text, "is a trigger of rules that push; on a pull rule Harbor takes it, and never fires", "hourly"
            )
        if text.strip() in {"", MANUAL, *WORDS} and text not in WORDS:
            raise Refused(text, "is blank or has a blank around it", text.strip() or MANUAL)
        cron = WORDS.get(text, text)
        fields = _fields(cron)
        sent, values, repaired, reasons = [], [], [], []
        for part, kind in zip(fields, FIELDS, strict=True):
            try:
                sent.append(kind.hashed(part, slot(name)))
                values.append(_field_values(kind, sent[-1]))
                repaired.append(part)
            except BadField as bad:
                reasons.append(bad.reason)
                repaired.append(bad.repair)
        if reasons:
            raise Refused(text, reasons[0], _offer(repaired))
        times = _times(values)
        _refuse_never(text, times, fields)
        if not allow_frequent:
            _refuse_frequent(text, times, fields)
        return cls(" ".join(sent), times)

    def describe(self) -> str:
        """The schedule in words, such as "every 6 hours at minute 17, UTC"."""
        return describe(self.times) if self.times else "started by hand only"

    def notes(self) -> tuple[str, ...]:
        """What is right and yet may not be what was meant, one sentence each."""
        return tuple(notes(self.cron, self.times)) if self.times else ()

    def next(self, after: datetime, count: int = 1) -> list[datetime]:
        """The next `count` runs later than `after` (an aware time), in UTC; none for a manual schedule."""
        if after.tzinfo is None:
            raise ValueError("an aware datetime is needed: Harbor's schedules are in UTC")
        return list(islice(self._runs(after.astimezone(UTC)), count))

    def _runs(self, after: datetime) -> Iterator[datetime]:
        return iter(CronSim(self.times.canonical(), after)) if self.times else iter(())

    def runs_per(self, hours: int) -> int:
        """The most runs that any window of `hours` (1 to 24) can hold: what a rate limit sees on the worst day."""
        if not 1 <= hours <= 24:
            raise ValueError("the window has 1 to 24 hours")
        if self.times is None:
            return 0
        one_day = [60 * hour + minute for hour in self.times.hours for minute in self.times.minutes]
        days = 2 if _fires_on_two_days_running(replace(self.times, minutes=(), hours=())) else 1
        minutes = [24 * 60 * day + minute for day in range(days) for minute in one_day]
        first, most = 0, 0
        for last, minute in enumerate(minutes):
            while minute - minutes[first] >= 60 * hours:
                first += 1
            most = max(most, last - first + 1)
        return most


def parse_maintenance(text: str, *, name: str) -> Schedule:
    """A schedule of Harbor's own maintenance: tag retention, garbage collection, audit log purge. Raises Refused.

    Harbor checks these less than a rule's (it takes `0 * * * * *` and a leading blank), and one that never occurs
    wedges the same job service; so they get the same parser. `manual` means none.
    """
    try:
        return Schedule.parse(text, name=name)
    except Refused as refused:
        raise Refused(refused.value, refused.reason.removesuffix(_WAY_OUT), refused.example) from None


@cache
def slot(name: str) -> int:
    """A number per rule name, below the minutes of a week, from which every `H` is derived; it never changes."""
    stem, number = re.fullmatch(r"(.*?)(\d{0,9})", name, re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
    start = int.from_bytes(sha256(stem.encode()).digest()[:8])
    return (start + int(number or 0) * _STRIDE) % _MINUTES_PER_WEEK


def _fields(text: str) -> list[str]:
    """The six fields of a text, or Refused with the six-field form of what it looks like."""
    if text in DESCRIPTORS:
        raise Refused(text, f"is a descriptor, which Harbor refuses; it wants {_FORM}", DESCRIPTORS[text])
    if text.startswith("@"):
        raise Refused(text, f"is a descriptor, which Harbor refuses; it wants {_FORM}", _every(text))
    fields = text.split()
    if fields and re.match(r"(CRON_)?TZ=", fields[0]):
        raise Refused(text, "names a time zone; Harbor's schedules are always in UTC", _offer(fields[1:]))
    if len(fields) == 5:
        raise Refused(text, f"has five fields; Harbor wants {_FORM}", _offer(["0", *fields]))
    if len(fields) == 7:
        raise Refused(text, f"has seven fields; Harbor wants {_FORM}", _offer(fields[:6]))
    if len(fields) != 6:
        raise Refused(text, f"is neither manual, hourly, daily or weekly nor a cron of {_FORM}", EXAMPLE)
    if text != " ".join(fields):
        raise Refused(text, "has blanks at an end or more than one between fields", _offer(fields))
    return fields


def _every(descriptor: str) -> str:
    period = re.fullmatch(r"@every (\d+)([mh])", descriptor)
    if period is None or not 0 < int(period[1]) < (60 if period[2] == "m" else 24):
        return EXAMPLE
    if period[2] == "m":
        return f"0 */{max(int(period[1]), LEAST_MINUTES_APART)} * * * *"
    return _offer(["0", "0", "*" if period[1] == "1" else f"*/{period[1]}", "*", "*", "*"])


def _field_values(kind: Field, text: str) -> tuple[tuple[int, ...], bool]:
    if kind is SECOND and text != "0":
        raise BadField("has a second other than 0, which Harbor refuses", "0")
    if kind is MINUTE and text == "*":
        raise BadField("has * for the minute, which is every minute and which Harbor refuses", "0")
    return kind.parse(text)


def _times(values: Sequence[tuple[tuple[int, ...], bool]]) -> Times:
    _, (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = values
    return Times(minutes, hours, days, months, weekdays, any_day, any_weekday)


def _refuse_never(text: str, times: Times, fields: Sequence[str]) -> None:
    longest = max(LONGEST_MONTH[month] for month in times.months)
    if times.either_day or times.days[0] <= longest:
        return
    months = listed([MONTH_NAMES[month - 1] for month in times.months])
    have = "has" if len(times.months) == 1 else "have"
    reason = (
        f"never occurs: {months} {have} no day {times.days[0]}, and such a date hangs Harbor's job service for good"
    )
    repaired = [*fields[:3], str(28 if times.months == (2,) else longest), *fields[4:]]
    raise Refused(text, reason, _offer(repaired))


def _refuse_frequent(text: str, times: Times, fields: Sequence[str]) -> None:
    apart = min((later - sooner for sooner, later in pairwise(times.minutes)), default=60)
    if apart >= LEAST_MINUTES_APART:
        return
    if len(times.minutes) == 60:
        reason = "fires every minute"
    else:
        reason = f"fires {apart} minute{'s' if apart > 1 else ''} apart, less than {LEAST_MINUTES_APART}"
    # Who writes */2 into the minutes most often means every two hours.
    step = re.fullmatch(r"\*/([2-4])", fields[1])
    hour = f"*/{step[1]}" if step and fields[2] == "*" else fields[2]
    raise Refused(text, reason + _WAY_OUT, _offer(["0", "0", hour, *fields[3:]]))


def _offer(fields: Sequence[str]) -> str:
    """The fields as a schedule to recommend, repaired once more where they need it."""
    text = " ".join(fields)
    try:
        Schedule.parse(text, name="")
    except Refused as refused:
        return refused.example
    return text


@cache
def _fires_on_two_days_running(days: Times) -> bool:
    # Four years hold every combination of month length and most of the weekdays; a miss costs one run in the count.
    start = date(2024, 1, 1)
    fires = (days.on(start + timedelta(days=day)) for day in range(4 * 366))
    return any(today and tomorrow for today, tomorrow in pairwise(fires))
