"""The id that follows a request from the HTTP header to the last RPC and every log line."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

import structlog

METADATA_KEY = "lectern-request-id"
HTTP_HEADER = "X-Request-Id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request being handled; empty outside of one."""
    return _current.get()


def bind_request_id(offered: str | None) -> str:
    """Take over the caller's id if it is well formed, else make one; bind it to this context and its log lines."""
    request_id = offered if offered and _ACCEPTABLE.fullmatch(offered) else secrets.token_hex(16)
    _current.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id
