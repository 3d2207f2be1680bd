"""What is let in: well-formed addresses, bodies of bearable size, and not too many at once."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import body_timeout, body_too_large, gateway_busy, invalid_encoding, nul_character
from gateway.settings import Limits

# They must answer also, and above all, when there is too much to do.
_TRY_AGAIN_LATER: Final = 1013
_ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class ConcurrencyMiddleware:
    """Refuses requests and sockets beyond a number in work; refused early, an overload costs almost nothing."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limit = limits.max_concurrent_requests
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises AppError GATEWAY_BUSY."""
        if scope["type"] == "lifespan" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._in_work >= self._limit:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
                return
            raise gateway_busy()
        self._in_work += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_work -= 1


class AddressMiddleware:
    """Refuses paths and queries that are not UTF-8 or hold a NUL, which would fail deep inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises AppError INVALID_ENCODING or NUL_CHARACTER."""
        if scope["type"] == "http":
            _check("path", scope["raw_path"])
            _check("query", scope["query_string"])
        await self._app(scope, receive, send)


def _check(where: str, quoted: bytes) -> None:
    raw = unquote_to_bytes(quoted)
    if b"\0" in raw:
        raise nul_character(where)
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            raise invalid_encoding(where) from None


class BodyLimitMiddleware:
    """Ends a body that grows beyond its limit or stands still.

    A body that says its length is measured by its header, one that does not while it streams.
    """

    def __init__(self, app: ASGIApp, limits: Limits, idle_seconds: float) -> None:
        self._app = app
        self._limits = limits
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises AppError BODY_TOO_LARGE, here or out of ``receive``, or BODY_TIMEOUT out of ``receive``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(headers.get("content-type", ""))
        if int(headers.get("content-length", "0")) > limit:
            raise body_too_large(limit)
        received = 0
        complete = False

        async def watched() -> Message:
            nonlocal received, complete
            message = await (receive() if complete else self._receive_in_time(receive))
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise body_too_large(limit)
            return message

        await self._app(scope, watched, send)

    async def _receive_in_time(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await receive()
        except TimeoutError:
            raise body_timeout(self._idle_seconds) from None

    def _limit(self, content_type: str) -> int:
        match content_type.partition(";")[0].strip().lower():
            case "multipart/form-data":
                return self._limits.max_upload_bytes
            case "application/x-ndjson":
                return self._limits.max_batch_bytes
            case _:
                return self._limits.max_json_bytes
