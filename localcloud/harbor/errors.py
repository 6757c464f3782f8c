"""Harbor's error responses: status, code and message."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response


class ApiError(Exception):
    """Raised by a handler, answered as `{"errors": [{"code", "message"}]}`; without a code the body is empty."""

    def __init__(self, status: int, code: str | None, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> Response:
        if self.code is None:
            return Response(None, self.status)
        return JSONResponse({"errors": [{"code": self.code, "message": self.message}]}, self.status)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BAD_REQUEST", message)


def unauthorized(message: str = "unauthorized") -> ApiError:
    return ApiError(401, "UNAUTHORIZED", message)


def forbidden(message: str = "forbidden") -> ApiError:
    return ApiError(403, "FORBIDDEN", message)


def not_found(message: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


def conflict(message: str) -> ApiError:
    return ApiError(409, "CONFLICT", message)


def precondition(message: str) -> ApiError:
    return ApiError(412, "PRECONDITION", message)


def unprocessable(message: str) -> ApiError:
    """Return the error for a request that does not follow the API description."""
    return ApiError(422, "UNPROCESSABLE_ENTITY", f"validation failure list:\n{message}")


def internal() -> ApiError:
    """Return Harbor's error for unexpected failures; the reason is only in core's log."""
    return ApiError(500, "UNKNOWN", "internal server error")
