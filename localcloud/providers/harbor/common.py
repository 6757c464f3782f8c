"""Shared by the resources of the Harbor stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.providers.harbor.client import Harbor, Refused, content
from localcloud.providers.resource import Draft, Failed, Resource


def schedule_of(schedule: str) -> tuple[str, str]:
    """Return type and cron of a schedule given by name or as a cron."""
    named = {
        "hourly": ("Hourly", "0 0 * * * *"),
        "daily": ("Daily", "0 0 0 * * *"),
        "weekly": ("Weekly", "0 0 0 * * 0"),
    }
    for name, (kind, cron) in named.items():
        if schedule.lower() in (name, cron):
            return kind, cron
    return ("Custom", schedule) if schedule else ("None", "")


class HarborResource(Resource[Harbor]):
    """A resource whose ID is its API path. A read removes a missing object from state; a delete ignores it."""

    @property
    def _autonamed(self) -> bool:
        return "name" in self.fields

    def fetch(self, api: Harbor, draft: Draft, masked: bool = True) -> Any:
        """Return the object behind the draft's id; None, with the id cleared, if it is gone.

        `masked`: report any other failure as a missing resource, as most of the real plugin's resources do.
        """
        try:
            return content(api.send("GET", draft.id))
        except Failed as error:
            if isinstance(error, Refused) and error.status == 404:
                draft.id = ""
                return None
            raise Failed(f"resource not found {draft.id}" if masked else str(error)) from None

    def delete(self, api: Harbor, draft: Draft) -> None:
        try:
            api.send("DELETE", draft.id)
        except Refused as error:
            if error.status != 404:
                raise


def one_of(name: str, allowed: list[str]) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        return None if value in allowed else f'"{name}" must be one of [{", ".join(allowed)}], got {value}'

    return check


def go_bool(value: bool) -> str:
    return "true" if value else "false"
