"""`/mcp`, whose protocol's library is loaded when the first agent comes: most gateways never see one."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

Speak = Callable[..., AbstractAsyncContextManager[ASGIApp]]
_MODULE: Final = "gateway.routes.mcp_tools"


class McpEndpoint:
    """An ASGI application that becomes another one when it is first called."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._spoken: asyncio.Future[ASGIApp] | None = None
        self._speaking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer while the context is open; leaving it ends what is still in work."""
        try:
            yield
        finally:
            if self._speaking is not None:
                self._speaking.cancel()
                with suppress(asyncio.CancelledError):
                    await self._speaking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._spoken is None or self._speaking is None:
            self._spoken = asyncio.get_running_loop().create_future()
            self._speaking = asyncio.create_task(self._speak(scope, self._spoken))
        first: set[asyncio.Future[Any]] = {self._spoken, self._speaking}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if self._speaking.done():
            self._speaking.result()
        app = self._spoken.result()
        await app(scope, receive, send)

    async def _speak(self, scope: Scope, spoken: asyncio.Future[ASGIApp]) -> None:
        """Serve until cancelled: the library's tasks must end where they began."""
        speak: Speak = (await asyncio.to_thread(importlib.import_module, _MODULE)).speaking_mcp
        async with speak(scope["app"].state.services, self._version) as app:
            spoken.set_result(app)
            await asyncio.Event().wait()
