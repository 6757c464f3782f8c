"""Harbor's cron: six fields, seconds first, UTC, with the error messages of its parser (robfig/cron 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
# (lowest, highest, names) of second, minute, hour, day of month, month, day of week.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_SEARCH_YEARS = 5  # the parser's own limit
SECONDS_MUST_BE_ZERO = "the 1st field (indicating Seconds of time) of the cron setting must be 0"


class BadCron(ValueError):
    """The parser's error message."""


@dataclass(frozen=True)
class Cron:
    fields: tuple[frozenset[int], ...]
    any_day: bool  # a day field is `*` or `?`: both must match, otherwise either

    def next(self, after: datetime) -> datetime | None:
        """Return the first time after `after`, on a full second; None if there is none within five years."""
        expression = " ".join(",".join(map(str, sorted(values))) for values in self.fields)
        schedule = croniter(
            expression,
            after.astimezone(UTC),
            second_at_beginning=True,
            day_or=not self.any_day,
            max_years_between_matches=_SEARCH_YEARS,
        )
        try:
            moment: datetime = schedule.get_next(datetime)
        except CroniterBadDateError:
            return None
        return moment


@cache
def parse(text: str) -> Cron:
    """Return the schedule. Raise BadCron."""
    if not text:
        raise BadCron("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        raise BadCron(f"parser does not accept descriptors: {text}")
    words = text.split()
    if len(words) != len(_FIELDS):
        raise BadCron(f"expected exactly {len(_FIELDS)} fields, found {len(words)}: [{' '.join(words)}]")
    parsed = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    return Cron(tuple(values for values, _ in parsed), parsed[3][1] or parsed[5][1])


def check(text: str) -> None:
    """Check a schedule as Harbor does everywhere. Raise BadCron."""
    if not text:
        raise BadCron("empty cron string is invalid")
    parse(text)
    if text.strip().split()[0] != "0":
        raise BadCron(SECONDS_MUST_BE_ZERO)


def check_replication(text: str) -> str | None:
    """Return Harbor's error message for a replication trigger's cron, None if it is valid."""
    if not text:
        return "the cron string cannot be empty when the trigger type is scheduled"
    try:
        parse(text)
    except BadCron:
        return f"invalid cron string for scheduled trigger: {text}"
    # Harbor splits at single blanks here, so two blanks hide the minutes field.
    fields = text.split(" ")
    if fields[0] != "0":
        return SECONDS_MUST_BE_ZERO
    if fields[1] == "*":
        return "* is not allowed for the Minutes field of the cron setting of replication policy"
    return None


def _field(text: str, low: int, high: int, names: dict[str, int]) -> tuple[frozenset[int], bool]:
    values: set[int] = set()
    star = False
    for part in text.split(","):
        if part:
            chosen, any_value = _range(part, low, high, names)
            values |= chosen
            star = star or any_value
    return frozenset(values), star


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    bounds, *steps = text.split("/")
    ends = bounds.split("-")
    star = ends[0] in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = end = _value(ends[0], names)
        if len(ends) == 2:
            end = _value(ends[1], names)
        elif len(ends) > 2:
            raise BadCron(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0])
        if len(ends) == 1 and not star:
            end = high
        if step > 1:
            star = False
    elif steps:
        raise BadCron(f"too many slashes: {text}")
    if start < low:
        raise BadCron(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise BadCron(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise BadCron(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise BadCron(f"step of range should be a positive number: {text}")
    return set(range(start, end + 1, step)), star


def _value(text: str, names: dict[str, int]) -> int:
    return names[text.lower()] if text.lower() in names else _number(text)


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadCron(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise BadCron(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
