"""A TCP proxy that can cut, refuse, delay and swallow what goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

Connect: TypeAlias = Callable[[], Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
_PIECE_BYTES = 65_536


class Proxy:
    """Listens on a loopback port and passes bytes to and from a server.

    Attributes:
        delay_seconds: how long each piece waits before it is passed on.
        refusing: new connections are closed at once.
    """

    def __init__(self, connect: Connect) -> None:
        self.delay_seconds = 0.0
        self.refusing = False
        self._connect = connect
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut_after: int | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Close every connection in the middle of whatever it carries."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def cut_after(self, count: int) -> None:
        """Cut the connection that brings the number of bytes towards the server to ``count`` from now."""
        self._cut_after = count

    @property
    def cut_is_due(self) -> bool:
        """Whether what `cut_after` ordered is still to come."""
        return self._cut_after is not None

    def swallow(self) -> None:
        """From now on connections stay open and carry nothing: a network that has gone silent."""
        self._flowing.clear()

    def flow(self) -> None:
        """End every fault; what was held up goes on."""
        self.delay_seconds, self.refusing, self._cut_after = 0.0, False, None
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self.refusing:
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            return  # cut
        except OSError:
            return  # either side has gone
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await self._connect()
        try:
            directions = (self._pump(reader, server_writer, counted=True), self._pump(server_reader, writer, counted=False))
            pumps = [asyncio.create_task(direction) for direction in directions]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            server_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                await self._flowing.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if counted and self._cut_after is not None:
                    self._cut_after -= len(piece)
                    if self._cut_after <= 0:
                        self._cut_after = None
                        return
                writer.write(piece)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


def to_port(port: int) -> Connect:
    """A server on the loopback address."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: str) -> Connect:
    """A server behind a Unix socket."""
    return lambda: asyncio.open_unix_connection(path)
