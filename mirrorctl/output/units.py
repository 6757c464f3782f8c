"""Sizes, time spans and ages for people."""

from __future__ import annotations

from datetime import datetime


def size(count: int | None) -> str:
    """Return a number of bytes such as 1.5 GB; `-` if unknown."""
    if count is None:
        return "-"
    from rich.filesize import decimal

    return decimal(count)


def duration(seconds: float | None) -> str:
    """Return a time span such as 2 h 05 min; `-` if unknown."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something happened, such as 5 s ago; `never` without a time."""
    return "never" if moment is None else f"{duration(max(0.0, (now - moment).total_seconds()))} ago"
