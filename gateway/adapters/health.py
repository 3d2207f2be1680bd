"""Whether the back services can do their work."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from shared.caller import Caller
from shared.rpc.channel import acting_for

_GATEWAY = Caller(organisation_id="none", subject="service:gateway")


class PeerHealth:
    """The standard health service of one peer."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._check: Any = HealthStub(channel).Check  # type: ignore[attr-defined]  # the stubs leave it out
        self._timeout = timeout_seconds

    async def is_ready(self) -> bool:
        """Whether every service of the peer is SERVING.

        Raises:
            grpc.aio.AioRpcError: it could not be reached.
        """
        with acting_for(_GATEWAY):
            response = await self._check(health_pb2.HealthCheckRequest(), timeout=self._timeout)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
