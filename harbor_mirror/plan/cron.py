"""Parses Harbor's cron: six fields, each to the values it stands for.

Follows robfig/cron 3.0.1 with Harbor's options (measured on 2.15.2): names of three letters, `?` for `*`, steps, no
wrapped ranges, no L, W or #, and 0 to 6 for the days of the week. Adds hashed values, `H`, as Jenkins has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: The most days of each month.
LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}

_NUMBER = re.compile(r"\+?\d{1,18}", re.ASCII)
_HASHED = re.compile(r"H(?:\((?P<low>\d+)-(?P<high>\d+)\))?(?:/(?P<step>\d+))?", re.ASCII)


class BadField(ValueError):
    """A field that Harbor can't read: `reason` continues "VALUE ...", `repair` is a field that works."""

    def __init__(self, reason: str, repair: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.repair = repair


@dataclass(frozen=True)
class Field:
    """One of cron's fields: its range, its names, and the default repair.

    `unit` is the length of the field's step in minutes; a name's slot is a minute of the week.
    """

    name: str
    low: int
    high: int
    names: Sequence[str] = ()
    repair: str = "*"
    unit: int = 1

    @property
    def all_values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1))

    def parse(self, text: str) -> tuple[tuple[int, ...], bool]:
        """Return the values of a field, and whether it has a star: Harbor then joins the day fields by AND."""
        values: set[int] = set()
        star = False
        for part in text.split(","):
            # Harbor skips empty parts, so a field with commas only never fires.
            if part:
                part_values, part_star = self._part(part)
                values |= part_values
                star = star or part_star
        if not values:
            raise BadField(f"has no value for the {self.name}, so it never runs", self.repair)
        return tuple(sorted(values)), star

    def _part(self, part: str) -> tuple[set[int], bool]:
        span, slash, step_text = part.partition("/")
        step = self._step(part, step_text) if slash else 1
        low_text, dash, high_text = span.partition("-")
        star = low_text in {"*", "?"}
        if star:
            # Harbor ignores what follows the star: "*-5" is "*".
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
                raise BadField("has 7 for Sunday; Harbor uses 0", "*" if whole_week else "0")
            raise BadField(f"has {number} for the {self.name}; use {self.low} to {self.high}", self.repair)
        return number

    def _unknown(self, part: str) -> BadField:
        short = part[:3].upper()
        if short in self.names and part.isalpha():
            return BadField(f"has a long name ({part}); use three letters", short)
        if re.fullmatch(r"\d+L|\d+#\d+", part):
            return BadField(f"has {part}; Harbor's cron does not support L and #", part[0])
        if re.fullmatch(r"LW?|\d+W", part):
            return BadField(f"has {part}; Harbor's cron does not support L and W", "1")
        return BadField(f"has {part!r} for the {self.name}, which is not a valid value", self.repair)

    def resolve_hash(self, text: str, slot: int) -> str:
        """Return the field with every `H` replaced by a value that `slot` picks."""
        return ",".join(self._resolve_part(part, slot) if part.startswith("H") else part for part in text.split(","))

    def _resolve_part(self, part: str, slot: int) -> str:
        form = _HASHED.fullmatch(part)
        if form is None:
            raise BadField(f"has {part!r}; the valid forms are H, H/15, H(0-29) and H(0-29)/10", "H")
        # A hashed day must exist in every month.
        last = 28 if self.name == "day of the month" else self.high
        low, high = int(form["low"] or self.low), int(form["high"] or last)
        if not self.low <= low <= high <= self.high:
            raise BadField(f"has {part!r}, but the {self.name} has the range {self.low} to {self.high}", "H")
        span, draw = high - low + 1, slot // self.unit
        if form["step"] is None:
            return str(low + draw % span)
        step = int(form["step"])
        if not 0 < step <= span:
            raise BadField(f"has {part!r}, with a step of 0 or longer than the range of the {self.name}", "H")
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
    """The values of a cron's fields at which it runs."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    any_day: bool
    any_weekday: bool

    @property
    def either_day(self) -> bool:
        """Return whether matching one of day of the month and day of the week is enough."""
        return not (self.any_day or self.any_weekday)

    @property
    def every_day(self) -> bool:
        """Return whether it runs on every day of its months."""
        full = (len(self.days) == 31, len(self.weekdays) == 7)
        return any(full) if self.either_day else all(full)

    def on(self, day: date) -> bool:
        """Return whether the cron runs on this day."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        matches = (by_day or by_weekday) if self.either_day else (by_day and by_weekday)
        return matches and day.month in self.months

    def canonical(self) -> str:
        """Return the cron for cronsim, which joins the day fields by AND only if one begins with a star."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        texts = [",".join(map(str, values)) for values in fields]
        texts[2] = "*" if self.any_day else texts[2]
        texts[4] = "*" if self.any_weekday else texts[4]
        return " ".join(["0", *texts])
