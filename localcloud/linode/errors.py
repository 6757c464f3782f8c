"""The one form in which the Linode API refuses: `{"errors": [{"reason": ..., "field": ...}]}`."""

from __future__ import annotations


class ApiError(Exception):
    """An answer other than success; `errors` is the list the API sends."""

    def __init__(self, status: int, errors: list[dict[str, str]]) -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status
        self.errors = errors


def refused(status: int, reason: str, field: str | None = None) -> ApiError:
    """An error with one reason; `field` names the part of the request it is about."""
    return ApiError(status, [{"reason": reason} | ({"field": field} if field else {})])


def invalid(reason: str, field: str | None = None) -> ApiError:
    """A request that was understood and is not acceptable (400)."""
    return refused(400, reason, field)


def not_found() -> ApiError:
    """What the caller names does not exist, or is not the caller's (404)."""
    return refused(404, "Not found")


def busy() -> ApiError:
    """Another job still runs on this Linode (400; clients of the real API retry on exactly this text)."""
    return invalid("Linode busy.")


class Problems:
    """Collects every fault of a request, since the API reports all of them at once."""

    def __init__(self) -> None:
        self._errors: list[dict[str, str]] = []

    def unless(self, fine: object, reason: str, field: str) -> bool:
        """Notes `reason` against `field` if `fine` is falsy; returns whether it was fine."""
        if not fine:
            self._errors.append({"reason": reason, "field": field})
        return bool(fine)

    def check(self) -> None:
        """Raises ApiError (400) if anything was noted."""
        if self._errors:
            raise ApiError(400, self._errors)
