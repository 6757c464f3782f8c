"""Harbor's error answers: a status, a code and a message, in one envelope."""

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
    """The swagger layer's refusal: the request does not have the described form."""
    return ApiError(422, "UNPROCESSABLE_ENTITY", f"validation failure list:\n{message}")


def internal() -> ApiError:
    """Whatever Harbor did not foresee; the reason is only in core's log."""
    return ApiError(500, "UNKNOWN", "internal server error")
