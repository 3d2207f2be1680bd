"""The messages of a client that streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc

# A client that is still sending sends its next message within this; one that waits for us does not, and is answered at once.
_NEXT_MESSAGE_SECONDS = 0.05
_DISCARD_SECONDS = 5.0


class RequestStream:
    """A client's messages, one after another.

    The library's own iterator is at its end once a task that waits on it is cancelled. On this one somebody else can read on, which lets a
    refused call take in what its client is still sending: a call that ends before makes the client's send fail, and grpc.aio then tells the
    client INTERNAL instead of the refusal.
    """

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages
        self._arriving: asyncio.Task[list[Any]] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._arriving is None:
            self._arriving = asyncio.create_task(self._receive())
        arrived = await asyncio.shield(self._arriving)
        if not arrived:
            raise StopAsyncIteration
        self._arriving = None
        return arrived[0]

    async def discard(self) -> None:
        """Take in and forget what the client has still to send; returns when it has finished, pauses, or sends for too long."""
        with suppress(TimeoutError, StopAsyncIteration, grpc.RpcError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while True:
                    async with asyncio.timeout(_NEXT_MESSAGE_SECONDS):
                        await anext(self)

    def close(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()

    async def _receive(self) -> list[Any]:
        """The next message, or nothing at the end."""
        async for message in self._messages:
            return [message]
        return []
