"""Errors in OpenAI's shape, for the routes that OpenAI's clients call."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, Field

OPENAI_PREFIX: Final = "/v1/"
_TYPES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class OpenAIErrorDetail(BaseModel):
    message: str = Field(description="What is wrong and how to mend it, for people.")
    type: str = Field(
        description="`invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or `server_error`."
    )
    param: str | None = Field(description="The field that is wrong.")
    code: str = Field(description="Stable code: the `reason` that Lectern's own routes give, in lower case as OpenAI's codes are.")


class OpenAIError(BaseModel):
    """An error, as OpenAI's clients read it. The header `X-Request-Id` has the request's id."""

    error: OpenAIErrorDetail


def openai_error(status: int, message: str, reason: str, field: str | None) -> OpenAIError:
    param = field.removeprefix("body.") if field else None
    return OpenAIError(error=OpenAIErrorDetail(message=message, type=_type(status), param=param, code=reason.lower()))


def _type(status: int) -> str:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "server_error"
    return _TYPES.get(status, "invalid_request_error")
