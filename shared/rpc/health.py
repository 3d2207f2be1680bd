"""grpc.health.v1 that follows what really happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Watchers get this long to hear the last status before their calls are ended.
_LAST_WORD_SECONDS = 0.1


class Health(health.aio.HealthServicer):
    """Health by service name. A server says NOT_SERVING for all before it listens; the empty name is SERVING when all are."""

    def __init__(self, service_names: Sequence[str]) -> None:
        super().__init__()
        self._serving = dict.fromkeys(service_names, False)
        self._watches: set[asyncio.Task[None]] = set()

    async def set_serving(self, serving: bool, *service_names: str) -> None:
        """Say whether ``service_names`` (all when none is given) can do their work."""
        for name in service_names or tuple(self._serving):
            self._serving[name] = serving
            await self.set(name, _SERVING if serving else _NOT_SERVING)
        await self.set("", _SERVING if all(self._serving.values()) else _NOT_SERVING)

    async def Watch(  # noqa: N802  # the RPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """As the library's, but ended by `shut_down`: who only watches must not keep a server from ending."""
        watch = asyncio.create_task(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait([watch])
            if not watch.cancelled():
                watch.result()
        finally:
            watch.cancel()
            self._watches.discard(watch)

    async def set_part_serving(self, part: str, *, serving: bool) -> None:
        """Say whether something that a service works with, named ``part``, can do its work; the services' own health is not changed."""
        await self.set(part, _SERVING if serving else _NOT_SERVING)

    async def shut_down(self) -> None:
        """NOT_SERVING for good; watchers hear it, and their calls end."""
        await self.enter_graceful_shutdown()
        if self._watches:
            await asyncio.wait(self._watches, timeout=_LAST_WORD_SECONDS)
        for watch in self._watches:
            watch.cancel()
