"""Cron as Harbor reads it: six fields, parsed to the values they stand for.

Follows robfig/cron 3.0.1 with Harbor's options (measured on 2.15.2): names of three letters, `?` for `*`, steps, no
wrapped ranges, no L, W or #, and 0 to 6 for the days of the week. On top come hashed values, `H`, as Jenkins has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: The most days a month can have.
LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}

_NUMBER = re.compile(r"\+?\d{1,18}", re.ASCII)
_HASHED = re.compile(r"H(?:\((?P<low>\d+)-(?P<high>\d+)\))?(?:/(?P<step>\d+))?", re.ASCII)


class BadField(ValueError):
    """What is wrong with one field: `reason` continues "VALUE ...", `repair` is a field that does."""

    def __init__(self, reason: str, repair: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.repair = repair


@dataclass(frozen=True)
class Field:
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
            raise BadField(f"has no value for the {self.name}, so it never fires", self.repair)
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
            raise BadField(f"has a range in the {self.name} that runs backwards ({part})", wrapped)
        return set(range(low, high + 1, step)), star and step == 1

    def _step(self, part: str, text: str) -> int:
        if not _NUMBER.fullmatch(text) or int(text) == 0:
            raise BadField(f"has a step in the {self.name} that is not a whole number above 0 ({part})", self.repair)
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
                raise BadField("has 7 for Sunday, which Harbor counts as 0", "*" if whole_week else "0")
            raise BadField(f"has {number} for the {self.name}, which goes from {self.low} to {self.high}", self.repair)
        return number

    def _unknown(self, part: str) -> BadField:
        short = part[:3].upper()
        if short in self.names and part.isalpha():
            return BadField(f"has a long name ({part}); Harbor knows three letters", short)
        if re.fullmatch(r"\d+L|\d+#\d+", part):
            return BadField(f"has {part}, and Harbor's cron knows no L and no #", part[0])
        if re.fullmatch(r"LW?|\d+W", part):
            return BadField(f"has {part}, and Harbor's cron knows no L and no W", "1")
        return BadField(f"has {part!r} for the {self.name}, which Harbor can't read", self.repair)

    def hashed(self, text: str, slot: int) -> str:
        """The field with every `H` replaced by a value that `slot` picks."""
        return ",".join(self._hashed_part(part, slot) if part.startswith("H") else part for part in text.split(","))

    def _hashed_part(self, part: str, slot: int) -> str:
        form = _HASHED.fullmatch(part)
        if form is None:
            raise BadField(f"has {part!r}; the forms are H, H/15, H(0-29) and H(0-29)/10", "H")
        # Every month has a 28th: a hashed day must not skip February.
        last = 28 if self.name == "day of the month" else self.high
        low, high = int(form["low"] or self.low), int(form["high"] or last)
        if not self.low <= low <= high <= self.high:
            raise BadField(f"has {part!r}, but the {self.name} goes from {self.low} to {self.high}", "H")
        span, draw = high - low + 1, slot // self.unit
        if form["step"] is None:
            return str(low + draw % span)
        step = int(form["step"])
        if not 0 < step <= span:
            raise BadField(f"has {part!r}, a step that is 0 or longer than the {self.name}'s range", "H")
        end = f"-{high}" if form["high"] or last != self.high else ""
        return f"{low + draw % step}{end}/{step}"


SECOND = Field("second", 0, 59, repair="0")
MINUTE = Field("minute", 0, 59, repair="0")
HOUR = Field("hour", 0, 23, unit=60)
DAY = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, _MONTHS)
WEEKDAY = Field("day of the week", 0, 6, _DAYS, unit=24 * 60)
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


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
