"""Builds and runs a service's gRPC server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable, Sequence

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared.rpc.health import Health
from shared.rpc.interceptors import CallerSource, RpcInterceptor
from shared.rpc.limits import COMMON_OPTIONS, KEEPALIVE_SECONDS

log = structlog.get_logger()
# Calls in flight get this long to end after SIGTERM; orchestrators usually kill after 30 s.
DRAIN_SECONDS = 20.0


class ServiceServer:
    """A gRPC server with the interceptors, health and reflection that every service has.

    Register servicers on `grpc_server`, then `start`; `stop` drains.
    """

    def __init__(self, service: str, *, signer: CallerSource, service_names: Sequence[str]) -> None:
        """Build a server that is not listening yet.

        Args:
            service: name of the process, for logs and metrics.
            signer: verifies callers; a `CallerSigner`, except for clients that are none of our services.
            service_names: full names of the proto services, for health and reflection.
        """
        self.health = Health(service_names)
        self.port = 0
        options = (*COMMON_OPTIONS, ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_SECONDS * 500), ("grpc.so_reuseport", 0))
        self.grpc_server = grpc.aio.server(interceptors=[RpcInterceptor(service, signer)], options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc_server)
        reflection.enable_server_reflection((*service_names, reflection.SERVICE_NAME, "grpc.health.v1.Health"), self.grpc_server)

    async def start(self, listen: str) -> None:
        """Listen on ``listen`` (``host:port``; port 0 picks one, see `port`).

        Raises:
            OSError: the address is taken or not ours.
        """
        await self.health.set_serving(False)
        try:
            self.port = self.grpc_server.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"Cannot listen on {listen}: the port is taken or the address is not of this machine.") from error
        await self.grpc_server.start()
        log.info("rpc_server_started", listen=listen, port=self.port)

    async def stop(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Turn health off, stop accepting, let calls in flight end within ``grace_seconds``, then cut them."""
        await self.health.shut_down()
        await self.grpc_server.stop(grace_seconds)
        log.info("rpc_server_stopped")


async def wait_for_termination(signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
    """Return when the process is asked to stop."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
