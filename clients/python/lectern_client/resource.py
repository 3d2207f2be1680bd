"""What a group of methods on one kind of resource has in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

from pydantic import BaseModel

from lectern_client.async_transport import AsyncTransport
from lectern_client.calls import ListCall
from lectern_client.transport import Transport

Listed = TypeVar("Listed", bound=BaseModel)


class Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _all(self, page: Callable[[str], ListCall[Listed]]) -> Iterator[Listed]:
        """The items of every page; the next page is asked for when it is needed."""
        token = ""
        while True:
            items, token = self._transport.send(page(token))
            yield from items
            if not token:
                return


class AsyncResource:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def _all(self, page: Callable[[str], ListCall[Listed]]) -> AsyncGenerator[Listed, None]:
        token = ""
        while True:
            items, token = await self._transport.send(page(token))
            for item in items:
                yield item
            if not token:
                return
