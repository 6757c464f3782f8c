"""What other tools' tag patterns and schedules are in this configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harbor_mirror.config.refusal import Refused
from harbor_mirror.plan.tag_versions import VersionRange

#: Tags that a regular expression names: `v1.2.3` is meant as that tag, although its dots match anything.
_LITERAL = re.compile(r"\^?((?:[\w-]|\\?\.)+)\$?")
#: ... and those that a glob can say: a beginning, then anything.
_BEGINNING = re.compile(r"\^?((?:[\w-]|\\\.)*)\.\*\$?")
#: Go's regular expressions have these, and Python's read them differently.
_GO_ONLY = re.compile(r"\[\[:|\\[zQEpPC]|\(\?[a-zA-Z-]*[U]")
_UNITS = {"h": 3600, "m": 60, "s": 1}
_DAY, _WEEK = 24 * 3600, 7 * 24 * 3600


class Untranslatable(ValueError):
    """The entry has no counterpart in the configuration; the text gives the reason."""


def literal(pattern: str) -> str | None:
    """Return the tag that an anchored regular expression names, or None."""
    match = _LITERAL.fullmatch(pattern)
    return match[1].replace("\\", "") if match else None


def glob(pattern: str) -> str | None:
    """Return the glob for an anchored regular expression, or None if it needs an expression."""
    if (tag := literal(pattern)) is not None:
        return tag
    match = _BEGINNING.fullmatch(pattern)
    return f"{match[1].replace(chr(92), '')}*" if match else None


def regex(pattern: str) -> str:
    """Return a regular expression of Go as Python reads it. Raise Untranslatable."""
    if _GO_ONLY.search(pattern):
        raise Untranslatable(f"{pattern} is a regular expression that only Go reads")
    try:
        re.compile(pattern)
    except re.error as error:
        raise Untranslatable(f"{pattern} is not a regular expression ({error})") from None
    return pattern


def version_range(text: str) -> str:
    """Return a version range. Raise Untranslatable."""
    try:
        VersionRange.parse(text)
    except Refused as refused:
        raise Untranslatable(str(refused)) from None
    return text


def tags(allow: Sequence[str], deny: Sequence[str]) -> Any:
    """Return a rule's `tags` for anchored regular expressions of which one, and none, must match."""
    globs, denied = [glob(pattern) for pattern in allow], [glob(pattern) for pattern in deny]
    if all(globs) and all(denied) and (globs or denied):
        wanted = [] if "*" in globs else list(dict.fromkeys(globs))
        if not denied:
            return wanted
        return {**({"matches": wanted} if wanted else {}), "excludes": list(dict.fromkeys(denied))}
    if not (allow or deny):
        return []
    expression = f"^(?:{'|'.join(map(regex, allow))})$" if allow else "."
    if all(denied):
        return {"regex": expression, **({"excludes": list(dict.fromkeys(denied))} if denied else {})}
    return {"regex": f"^(?!(?:{'|'.join(map(regex, deny))})$)(?:{'|'.join(map(regex, allow)) or '.*'})$"}


def cron(text: str) -> str:
    """Return Harbor's six fields for cron's five. Raise Untranslatable."""
    fields = text.split()
    words = {"@hourly": "hourly", "@daily": "daily", "@midnight": "daily", "@weekly": "weekly"}
    if text in words:
        return words[text]
    if len(fields) != 5:
        raise Untranslatable(f"schedule {text} has no counterpart; Harbor's cron has six fields")
    if fields[0] == "*":
        raise Untranslatable(f"schedule {text} runs every minute, which Harbor refuses")
    return " ".join(["0", *fields])


def interval(text: str) -> str:
    """Return the schedule of an interval such as 60m. Raise Untranslatable."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([hms])", text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        raise Untranslatable(f"interval {text} is not a duration")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    for length, word in ((3600, "hourly"), (_DAY, "daily"), (_WEEK, "weekly")):
        if seconds == length:
            return word
    if seconds >= 300 and 3600 % seconds == 0:
        return f"0 */{int(seconds // 60)} * * * *"
    if seconds > 3600 and _DAY % seconds == 0 and seconds % 3600 == 0:
        return f"0 H */{int(seconds // 3600)} * * *"
    raise Untranslatable(f"interval {text} does not divide an hour or a day, and Harbor has cron only")
