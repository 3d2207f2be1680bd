"""Rebuilds of the index, at the ingestor."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_rebuild
from gateway.domain.reindex import Rebuild
from lectern.ingestor.v1 import rebuild_pb2 as pb
from lectern.ingestor.v1.rebuild_pb2_grpc import RebuildServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for

# The index is nobody's alone: the gateway has asked whether its caller is an operator, and speaks for itself.
_ITSELF = Caller("*", "service:gateway")


class IngestorRebuilds:
    """`IndexRebuilds` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float, watch_seconds: float) -> None:
        self._stub = RebuildServiceStub(channel)
        self._timeout = timeout_seconds
        self._watch_seconds = watch_seconds

    async def start(self) -> None:
        with acting_for(_ITSELF), calling("ingestor"):
            await self._stub.StartRebuild(pb.StartRebuildRequest(), timeout=self._timeout)

    async def watch(self) -> AsyncGenerator[Rebuild, None]:
        with acting_for(_ITSELF):
            call = self._stub.WatchRebuild(pb.WatchRebuildRequest(), timeout=self._watch_seconds)
        try:
            with calling("ingestor"):
                async for response in call:
                    yield to_rebuild(response.rebuild)
        finally:
            call.cancel()
