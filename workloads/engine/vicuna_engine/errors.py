"""The one exception that becomes an answer to the client, in OpenAI's error format."""

from __future__ import annotations

from typing import Any

# Clients that are told to come back do so after this long.
RETRY_SECONDS = 1


class ApiError(Exception):
    """A refused or failed request. `param` names the field at fault, `code` is for programs, the message for people."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "internal_server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After where another try, here or elsewhere, can succeed."""
        return {"Retry-After": str(RETRY_SECONDS)} if self.status in (429, 503) else {}


_TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that is wrong in itself (400)."""
    return ApiError(400, message, param=param, code=code)


def unavailable(message: str, code: str) -> ApiError:
    """A worker that takes no work just now (503)."""
    return ApiError(503, message, code=code)
