"""uvicorn, inside of an event loop and a process that are not its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

# A question and a filter, many times over.
_MAX_FRAME_BYTES: Final = 256 * 1024


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to the process and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def listening(app: ASGIApp, listen: str, drain_seconds: float) -> AsyncIterator[int]:
    """Serve ``app`` on ``listen`` (``host:port``; port 0 picks one) and give the port.

    Leaving stops accepting, lets requests in work end within ``drain_seconds``, and then cancels them.

    Raises:
        OSError: the address is taken or not of this machine.
    """
    bound = _bind(listen)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=_MAX_FRAME_BYTES,
        # Frames are a few words: packing them would cost time and save nothing.
        ws_per_message_deflate=False,
        # A request must never see what another one has bound to its context.
        reset_contextvars=True,
        # Longer than proxies keep theirs, so that it is never we who close a connection that a request is on its way on.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait({serving, listens}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        listens.cancel()
        await serving


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, int(port)))
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {listen}, {error.strerror}. Set LECTERN_GATEWAY_LISTEN to a free address.") from error
    return bound
