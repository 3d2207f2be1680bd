"""The life of a back service's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

import structlog
from prometheus_client import start_http_server

from shared.logging import configure_logging
from shared.rpc.server import wait_for_termination
from shared.settings import Settings

log = structlog.get_logger()


@runtime_checkable
class CanFail(Protocol):
    """A running service that can lose something that it cannot go on without."""

    @property
    def failure(self) -> asyncio.Task[None]:
        """Ends with the exception that the process should stop for; never ends otherwise."""


def run_service(service: str, settings: Settings, serve: Callable[[Settings], AbstractAsyncContextManager[object]]) -> None:
    """Run ``serve(settings)`` until SIGTERM or SIGINT. Blocks for the life of the process.

    Entering the context starts the service, leaving it drains and stops it.

    Raises:
        Exception: what the service failed with, if what the context gives is one that `CanFail`; raised once it was drained.
    """
    configure_logging(service, level=settings.log_level, style=settings.log_format)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr="0.0.0.0")  # noqa: S104  # scraped from outside of the container
    asyncio.run(_run(settings, serve))


async def _run(settings: Settings, serve: Callable[[Settings], AbstractAsyncContextManager[object]]) -> None:
    async with serve(settings) as running:
        ends = {asyncio.create_task(wait_for_termination())}
        if isinstance(running, CanFail):
            ends.add(running.failure)
        ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        log.info("service_stopping")
    for end in ended:
        end.result()
