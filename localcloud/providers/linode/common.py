"""Shared by the resources of the Linode stand-in: limits, checks, and the two kinds of resource."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localcloud.providers.linode.client import Linode, Refused
from localcloud.providers.resource import Failed, Resource
from localcloud.providers.values import Values

#: The provider's default time limits.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 900, 3600, 600


def length(name: str, low: int, high: int) -> Callable[[Any], str | None]:
    """Return the SDK's check of a string's length."""

    def check(value: Any) -> str | None:
        if low <= len(str(value)) <= high:
            return None
        return f"expected length of {name} to be in the range ({low} - {high}), got {value}"

    return check


def between(name: str, low: int, high: int) -> Callable[[Any], str | None]:
    """Return the framework's check of a string's length."""

    def check(value: Any) -> str | None:
        size = len(str(value))
        if low <= size <= high:
            return None
        return (
            "Invalid Attribute Value Length. "
            f"Attribute {name} string length must be between {low} and {high}, got: {size}"
        )

    return check


def among(name: str, *allowed: str) -> Callable[[Any], str | None]:
    """Return the framework's check against a list of words."""

    def check(value: Any) -> str | None:
        if value in allowed:
            return None
        words = json.dumps(list(allowed)).replace(",", "")
        return f'Invalid Attribute Value Match. Attribute {name} value must be one of: {words}, got: "{value}"'

    return check


def some(name: str) -> Callable[[Any], str | None]:
    """Return the framework's check of an optional list that must not be empty."""

    def check(value: Any) -> str | None:
        if value:
            return None
        return f"Invalid Attribute Value. Attribute {name} list must contain at least 1 elements, got: 0"

    return check


def same_words(old: Any, new: Any) -> bool:
    """Return whether two sets of tags differ in upper and lower case only."""
    return sorted(str(tag).lower() for tag in old or []) == sorted(str(tag).lower() for tag in new or [])


class SdkResource(Resource[Linode]):
    def adjust(self, old: Values | None, planned: Values, inputs: Values) -> None:  # noqa: ARG002
        if "tags" in self.fields and inputs.get("tags") is None:
            planned["tags"] = []


class FrameworkResource(Resource[Linode]):
    framework = True


def told(summary: str, call: Callable[[], Any]) -> Any:
    """Run a call; prefix its error with the framework's summary."""
    try:
        return call()
    except Failed as error:
        raise Failed(f"{summary}: {error}") from None


def tolerant(call: Callable[[], Any]) -> Any:
    """Run a call and ignore a 404."""
    try:
        return call()
    except Refused as error:
        if error.status != 404:
            raise
        return None


def utc(stamp: str | None) -> str | None:
    """Return the API's time of day, which has no zone, in RFC 3339."""
    return f"{stamp}Z" if stamp else None


def numeric_id(found: Values) -> str:
    return str(found["id"])
