"""RebuildService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from ingestor.convert import to_rebuild
from ingestor.domain.rebuild import Rebuilds
from ingestor.errors import services_only
from lectern.ingestor.v1 import rebuild_pb2, rebuild_pb2_grpc
from shared.caller import current_caller

Context = grpc.aio.ServicerContext[Any, Any]


class RebuildServicer(rebuild_pb2_grpc.RebuildServiceServicer):
    def __init__(self, rebuilds: Rebuilds) -> None:
        self._rebuilds = rebuilds

    async def StartRebuild(self, request: rebuild_pb2.StartRebuildRequest, context: Context) -> rebuild_pb2.StartRebuildResponse:
        _check_caller()
        return rebuild_pb2.StartRebuildResponse(rebuild=to_rebuild(await self._rebuilds.start()))

    async def WatchRebuild(
        self, request: rebuild_pb2.WatchRebuildRequest, context: Context
    ) -> AsyncIterator[rebuild_pb2.WatchRebuildResponse]:
        _check_caller()
        async with aclosing(self._rebuilds.watch()) as rebuilds:
            async for rebuild in rebuilds:
                yield rebuild_pb2.WatchRebuildResponse(rebuild=to_rebuild(rebuild))


def _check_caller() -> None:
    if not current_caller().is_service:
        raise services_only()
