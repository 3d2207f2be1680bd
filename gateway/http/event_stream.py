"""Server-sent events that never end silently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import gateway_stopping
from gateway.http.problems import event_data

MEDIA_TYPE: Final = "text/event-stream"
_HEARTBEAT: Final = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """An event; ``data`` is JSON on one line, ``name`` is empty in protocols that have none.

    A client that comes back sends the last ``id`` as `Last-Event-ID`.
    """

    name: str
    data: str
    id: str = ""

    def encode(self) -> bytes:
        head = f"id: {self.id}\n" if self.id else ""
        head += f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {self.data}\n\n".encode()


def problem_event(error: Exception) -> Event:
    """An `error` event, whose data is a problem."""
    return Event("error", event_data(error))


async def begun(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """``events``, once the first of them is there: what fails until then is raised here, and can still be a status."""
    return _preceded(await anext(events), events)


async def _preceded(first: Event, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


class EventStream(Response):
    """Relays events as they come, with comments in between so that nobody takes silence for death.

    A failure of ``events`` becomes a last event, and so does the end of the server. When the client leaves, ``events`` is closed
    at once.
    """

    def __init__(
        self,
        events: AsyncGenerator[Event, None],
        heartbeat_seconds: float,
        *,
        until: asyncio.Event | None = None,
        failure: Callable[[Exception], Event] = problem_event,
    ) -> None:
        """A stream of ``events`` that need not be waited for once ``until`` is set; ``failure`` makes the last event of one that fails."""
        # Some proxies hold back what they could compress or gather.
        super().__init__(headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._events = events
        self._heartbeat_seconds = heartbeat_seconds
        self._until = until or asyncio.Event()
        self._failure = failure
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        relay = asyncio.create_task(self._relay(send))
        left = asyncio.create_task(_client_left(receive))
        ended = asyncio.create_task(self._until.wait())
        heart = asyncio.create_task(self._beat(send))
        try:
            await asyncio.wait({relay, left, ended}, return_when=asyncio.FIRST_COMPLETED)
            cut_by_us = not relay.done() and not left.done()
        except asyncio.CancelledError:
            # Only a server that has waited long enough for its requests cancels them: what is left to do is to end well.
            cut_by_us = True
        finally:
            await _cancel(relay, left, ended, heart)
        if cut_by_us:
            await self._send(send, self._failure(gateway_stopping()).encode())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _relay(self, send: Send) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await self._send(send, event.encode())
        except Exception as error:  # noqa: BLE001  # the status line has gone out: the only place left to say it is the stream
            await self._send(send, self._failure(error).encode())

    async def _beat(self, send: Send) -> None:
        while True:
            before = self._sent
            await asyncio.sleep(self._heartbeat_seconds)
            if self._sent == before:
                await self._send(send, _HEARTBEAT)

    async def _send(self, send: Send, body: bytes) -> None:
        self._sent += 1
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
