"""Errors of the Linode API: `{"errors": [{"reason": ..., "field": ...}]}`."""

from __future__ import annotations


class ApiError(Exception):
    """An error response; `errors` is the list that the API sends."""

    def __init__(self, status: int, errors: list[dict[str, str]]) -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status
        self.errors = errors


def refused(status: int, reason: str, field: str | None = None) -> ApiError:
    """Return an error with one reason; `field` names the part of the request it is about."""
    return ApiError(status, [{"reason": reason} | ({"field": field} if field else {})])


def invalid(reason: str, field: str | None = None) -> ApiError:
    """Return the error for an invalid value (400)."""
    return refused(400, reason, field)


def not_found() -> ApiError:
    """Return the error for an object that does not exist (404)."""
    return refused(404, "Not found")


def busy() -> ApiError:
    """Return the error for an instance with a running job (400; clients retry on exactly this text)."""
    return invalid("Linode busy.")


class Problems:
    """Collects all errors of a request, because the API reports them together."""

    def __init__(self) -> None:
        self._errors: list[dict[str, str]] = []

    def unless(self, fine: object, reason: str, field: str) -> bool:
        """Record `reason` for `field` if `fine` is falsy; return whether it was fine."""
        if not fine:
            self._errors.append({"reason": reason, "field": field})
        return bool(fine)

    def check(self) -> None:
        """Raise ApiError (400) if there are errors."""
        if self._errors:
            raise ApiError(400, self._errors)
