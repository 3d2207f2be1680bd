"""grpc.health.v1 that follows what really happens."""

from __future__ import annotations

from collections.abc import Sequence

from grpc_health.v1 import health, health_pb2

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health.aio.HealthServicer):
    """Health by service name. A server says NOT_SERVING for all before it listens; the empty name is SERVING when all are."""

    def __init__(self, service_names: Sequence[str]) -> None:
        super().__init__()
        self._serving = dict.fromkeys(service_names, False)

    async def set_serving(self, serving: bool, *service_names: str) -> None:
        """Say whether ``service_names`` (all when none is given) can do their work."""
        for name in service_names or tuple(self._serving):
            self._serving[name] = serving
            await self.set(name, _SERVING if serving else _NOT_SERVING)
        await self.set("", _SERVING if all(self._serving.values()) else _NOT_SERVING)

    async def shut_down(self) -> None:
        """NOT_SERVING for good."""
        await self.enter_graceful_shutdown()
