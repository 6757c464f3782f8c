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

from harbor_mirror.model.refusal import Refused

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
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_NUMBER = re.compile(r"\+?\d{1,18}", re.ASCII)
_HASHED = re.compile(r"H(?:\((?P<low>\d+)-(?P<high>\d+)\))?(?:/(?P<step>\d+))?", re.ASCII)

#: One number per rule name picks its minute of the week: names spread by hash, and names that differ in a trailing
#: number only (rule-0, rule-1 ...) by this stride, which is coprime to the minutes of the week, so that no two of
#: 1,440 such rules share a minute of the day. Near the golden section of hour, day and week, so that few spread too.
_MINUTES_PER_WEEK = 7 * 24 * 60
_STRIDE = 3757


class _BadField(ValueError):
    def __init__(self, reason: str, repair: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.repair = repair


@dataclass(frozen=True)
class _Field:
    """One of cron's fields: its bounds, the names it knows, and what repairs it when nothing better is known.

    `unit` is the field's step in minutes, where the slot of a name is a minute of the week.
    """

    name: str
    low: int
    high: int
    names: Sequence[str] = ()
    repair: str = "*"
    unit: int = 1

    @property
    def everything(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1))

    def parse(self, text: str) -> tuple[tuple[int, ...], bool]:
        """The values of a field, and whether it has a star: Harbor then ignores this field's day for "or"."""
        values: set[int] = set()
        star = False
        for part in text.split(","):
            # Harbor skips empty parts, so that a field of commas only never fires.
            if part:
                found, starred = self._part(part)
                values |= found
                star = star or starred
        if not values:
            raise _BadField(f"has no value for the {self.name}, so it never fires", self.repair)
        return tuple(sorted(values)), star

    def _part(self, part: str) -> tuple[set[int], bool]:
        span, slash, step_text = part.partition("/")
        step = self._step(part, step_text) if slash else 1
        low_text, dash, high_text = span.partition("-")
        star = low_text in {"*", "?"}
        if star:
            # Harbor reads no further than the star: "*-5" is "*".
            low, high = self.low, self.high
        else:
            low = self._number(low_text, part)
            high = self._number(high_text, part) if dash else low
            if slash and not dash:
                high = self.high
        if low > high:
            wrapped = f"{low_text}-{self.high},{self.low}-{high_text}"
            raise _BadField(f"has a range in the {self.name} that runs backwards ({part})", wrapped)
        return set(range(low, high + 1, step)), star and step == 1

    def _step(self, part: str, text: str) -> int:
        if not _NUMBER.fullmatch(text) or int(text) == 0:
            raise _BadField(f"has a step in the {self.name} that is not a whole number above 0 ({part})", self.repair)
        return int(text)

    def _number(self, text: str, part: str) -> int:
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.low
        if not _NUMBER.fullmatch(text):
            raise self._unknown(part)
        number = int(text)
        if not self.low <= number <= self.high:
            if self.names is _DAYS and number == 7:
                whole_week = part == "1-7"
                raise _BadField("has 7 for Sunday, which Harbor counts as 0", "*" if whole_week else "0")
            raise _BadField(f"has {number} for the {self.name}, which goes from {self.low} to {self.high}", self.repair)
        return number

    def _unknown(self, part: str) -> _BadField:
        short = part[:3].upper()
        if short in self.names and part.isalpha():
            return _BadField(f"has a long name ({part}); Harbor knows three letters", short)
        if re.fullmatch(r"\d+L|\d+#\d+", part):
            return _BadField(f"has {part}, and Harbor's cron knows no L and no #", part[0])
        if re.fullmatch(r"LW?|\d+W", part):
            return _BadField(f"has {part}, and Harbor's cron knows no L and no W", "1")
        return _BadField(f"has {part!r} for the {self.name}, which Harbor can't read", self.repair)

    def hashed(self, text: str, slot: int) -> str:
        """The field with every `H` replaced by a value that `slot` picks."""
        return ",".join(self._hashed_part(part, slot) if part.startswith("H") else part for part in text.split(","))

    def _hashed_part(self, part: str, slot: int) -> str:
        form = _HASHED.fullmatch(part)
        if form is None:
            raise _BadField(f"has {part!r}; the forms are H, H/15, H(0-29) and H(0-29)/10", "H")
        # Every month has a 28th: a hashed day must not skip February.
        last = 28 if self.name == "day of the month" else self.high
        low, high = int(form["low"] or self.low), int(form["high"] or last)
        if not self.low <= low <= high <= self.high:
            raise _BadField(f"has {part!r}, but the {self.name} goes from {self.low} to {self.high}", "H")
        span, draw = high - low + 1, slot // self.unit
        if form["step"] is None:
            return str(low + draw % span)
        step = int(form["step"])
        if not 0 < step <= span:
            raise _BadField(f"has {part!r}, a step that is 0 or longer than the {self.name}'s range", "H")
        end = f"-{high}" if form["high"] or last != self.high else ""
        return f"{low + draw % step}{end}/{step}"


_SECOND = _Field("second", 0, 59, repair="0")
_MINUTE = _Field("minute", 0, 59, repair="0")
_HOUR = _Field("hour", 0, 23, unit=60)
_DAY = _Field("day of the month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of the week", 0, 6, _DAYS, unit=24 * 60)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass(frozen=True)
class Times:
    """A cron as the sets of values it fires at."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    any_day: bool
    any_weekday: bool

    @property
    def either_day(self) -> bool:
        """True if a day needs to match only one of day of the month and day of the week."""
        return not (self.any_day or self.any_weekday)

    @property
    def every_day(self) -> bool:
        """True if neither day field leaves a day out."""
        full = (len(self.days) == 31, len(self.weekdays) == 7)
        return any(full) if self.either_day else all(full)

    def on(self, day: date) -> bool:
        """True if the cron fires on this day."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        matches = (by_day or by_weekday) if self.either_day else (by_day and by_weekday)
        return matches and day.month in self.months

    def canonical(self) -> str:
        """The same times for cronsim, which joins the day fields by "and" only where one begins with a star."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        texts = [",".join(map(str, values)) for values in fields]
        texts[2] = "*" if self.any_day else texts[2]
        texts[4] = "*" if self.any_weekday else texts[4]
        return " ".join(["0", *texts])


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
        if text.strip() in {"", MANUAL, *WORDS} and text not in WORDS:
            raise Refused(text, "is blank or has a blank around it", text.strip() or MANUAL)
        cron = WORDS.get(text, text)
        fields = _fields(cron)
        sent, values, repaired, reasons = [], [], [], []
        for part, kind in zip(fields, _FIELDS, strict=True):
            try:
                sent.append(kind.hashed(part, slot(name)))
                values.append(_field_values(kind, sent[-1]))
                repaired.append(part)
            except _BadField as bad:
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
        return _describe(self.times) if self.times else "started by hand only"

    def notes(self) -> tuple[str, ...]:
        """What is right and yet may not be what was meant, one sentence each."""
        return tuple(_notes(self.cron, self.times)) if self.times else ()

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
    return Schedule.parse(text, name=name)


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


def _field_values(kind: _Field, text: str) -> tuple[tuple[int, ...], bool]:
    if kind is _SECOND and text != "0":
        raise _BadField("has a second other than 0, which Harbor refuses", "0")
    if kind is _MINUTE and text == "*":
        raise _BadField("has * for the minute, which is every minute and which Harbor refuses", "0")
    return kind.parse(text)


def _times(values: Sequence[tuple[tuple[int, ...], bool]]) -> Times:
    _, (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = values
    return Times(minutes, hours, days, months, weekdays, any_day, any_weekday)


def _refuse_never(text: str, times: Times, fields: Sequence[str]) -> None:
    longest = max(_LONGEST_MONTH[month] for month in times.months)
    if times.either_day or times.days[0] <= longest:
        return
    months = _and([_MONTH_NAMES[month - 1] for month in times.months])
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
        reason = f"fires {_number(apart, 'minute')} apart, less than {LEAST_MINUTES_APART}"
    # Who writes */2 into the minutes most often means every two hours.
    step = re.fullmatch(r"\*/([2-4])", fields[1])
    hour = f"*/{step[1]}" if step and fields[2] == "*" else fields[2]
    reason += "; allowFrequent: true on the rule allows it" if fields[1] != "*" else ""
    raise Refused(text, reason, _offer(["0", "0", hour, *fields[3:]]))


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


def _describe(times: Times) -> str:
    time, day = _time_of_day(times), _day(times)
    if not day:
        return f"{'every day ' if time.startswith('at ') and _has_hours(times) else ''}{time}, UTC"
    return f"{day}{' ' if time.startswith('at ') else ', '}{time}, UTC"


def _has_hours(times: Times) -> bool:
    return len(times.hours) < 24


def _time_of_day(times: Times) -> str:
    minutes, hours = times.minutes, times.hours
    if len(minutes) == 1:
        minute, step = minutes[0], _step_of(hours, _HOUR)
        if step == 1:
            return f"every hour at minute {minute}"
        if step:
            start = f", first at {hours[0]:02}:{minute:02}" if hours[0] else ""
            return f"every {step} hours at minute {minute}{start}"
    if len(minutes) * len(hours) <= 6:
        return "at " + _and([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    within = f" of {_numbers('hour', hours)}" if _has_hours(times) else ""
    step = _step_of(minutes, _MINUTE)
    if step:
        start = f" from minute {minutes[0]}" if minutes[0] else ""
        return f"every {'minute' if step == 1 else f'{step} minutes'}{start}{within}"
    return f"at {_numbers('minute', minutes)}{within or ' of every hour'}"


def _day(times: Times) -> str:
    parts = []
    if not times.every_day:
        if len(times.days) < 31:
            parts.append(f"on {_numbers('day', times.days)} of the month")
        if len(times.weekdays) < 7:
            parts.append("every " + _ranges(times.weekdays, _DAY_NAMES))
    day = (" and " if times.either_day else ", if that is ").join(parts)
    if len(times.months) == 12:
        return day
    return f"{day or 'every day'} in {_ranges(times.months, ('', *_MONTH_NAMES))}"


def _notes(cron: str, times: Times) -> Iterator[str]:
    fields = cron.split(" ")
    for kind, text, values in ((_MINUTE, fields[1], times.minutes), (_HOUR, fields[2], times.hours)):
        step = re.fullmatch(r"\*/(\d+)", text)
        if step and len(values) == 1:
            yield f"{text} for the {kind.name} fires at {kind.name} 0 only"
        elif step and (kind.high + 1) % int(step[1]):
            yield f"{text} for the {kind.name} starts again at 0 after {kind.name} {values[-1]}"
    if times.either_day:
        yield "Harbor joins day of the month and day of the week by OR: a day that matches one of them is enough"
    if times.months == (2,) and times.days == (29,) and not times.either_day:
        yield "29 February comes once in four years"


def _step_of(values: Sequence[int], kind: _Field) -> int:
    """n if the values are every n-th of the field, round the clock, else 0."""
    gaps = {later - sooner for sooner, later in pairwise(values)}
    if len(gaps) != 1:
        return 0
    (gap,) = gaps
    return gap if len(values) * gap == len(kind.everything) else 0


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _numbers(noun: str, values: Sequence[int]) -> str:
    texts = [str(value) for value in range(max(values) + 1)]
    return f"{noun}{'s' if len(values) > 1 else ''} {_ranges(values, texts)}"


def _ranges(values: Sequence[int], names: Sequence[str]) -> str:
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    texts = []
    for run in runs:
        texts += [f"{names[run[0]]} to {names[run[-1]]}"] if len(run) > 2 else [names[value] for value in run]
    return _and(texts)


def _and(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
