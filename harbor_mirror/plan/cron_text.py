"""Describes a cron in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from harbor_mirror.plan.cron import HOUR, MINUTE, Field, Times

# The names of the calendar module depend on the locale.
MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def describe(times: Times) -> str:
    """Return the times in words, such as "every 6 hours at minute 17, UTC"."""
    time, day = _time_of_day(times), _day(times)
    if not day:
        return f"{'every day ' if time.startswith('at ') and _has_hours(times) else ''}{time}, UTC"
    return f"{day}{' ' if time.startswith('at ') else ', '}{time}, UTC"


def _has_hours(times: Times) -> bool:
    return len(times.hours) < 24


def _time_of_day(times: Times) -> str:
    minutes, hours = times.minutes, times.hours
    if len(minutes) == 1:
        minute, step = minutes[0], _step_of(hours, HOUR)
        if step == 1:
            return f"every hour at minute {minute}"
        if step:
            start = f", first at {hours[0]:02}:{minute:02}" if hours[0] else ""
            return f"every {step} hours at minute {minute}{start}"
    if len(minutes) * len(hours) <= 6:
        return "at " + listed([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    within = f" of {_numbers('hour', hours)}" if _has_hours(times) else ""
    step = _step_of(minutes, MINUTE)
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
            parts.append("every " + _ranges(times.weekdays, DAY_NAMES))
    day = (" and " if times.either_day else ", if that is ").join(parts)
    if len(times.months) == 12:
        return day
    return f"{day or 'every day'} in {_ranges(times.months, ('', *MONTH_NAMES))}"


def notes(cron: str, times: Times) -> Iterator[str]:
    """Yield what works but may not be what was meant, one sentence each."""
    fields = cron.split(" ")
    for kind, text, values in ((MINUTE, fields[1], times.minutes), (HOUR, fields[2], times.hours)):
        step = re.fullmatch(r"\*/(\d+)", text)
        if step and len(values) == 1:
            yield f"{text} for the {kind.name} runs at {kind.name} 0 only"
        elif step and (kind.high + 1) % int(step[1]):
            yield f"{text} for the {kind.name} starts again at 0 after {kind.name} {values[-1]}"
    if (step := re.fullmatch(r"\*/(6|8|12)", fields[1])) and fields[2] == "*":
        yield f"runs every {step[1]} minutes; for every {step[1]} hours write 0 0 */{step[1]} {' '.join(fields[3:])}"
    if times.either_day:
        yield "runs on days that match the day of the month or the day of the week; Harbor does not need both to match"
    if times.months == (2,) and times.days == (29,) and not times.either_day:
        yield "runs once in four years: on 29 February"


def _step_of(values: Sequence[int], kind: Field) -> int:
    """Return n if the values are every n-th of the field, without a gap at its end, else 0."""
    gaps = {later - sooner for sooner, later in pairwise(values)}
    if len(gaps) != 1:
        return 0
    (gap,) = gaps
    return gap if len(values) * gap == len(kind.all_values) else 0


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
    return listed(texts)


def listed(texts: Sequence[str]) -> str:
    """Return a list in words, such as "April, June and November"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
