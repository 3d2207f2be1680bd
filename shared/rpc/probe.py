"""Asks a service whether it can do its work: ``python -m shared.rpc.probe HOST:PORT [SERVICE]`` exits with 0 when it can."""

from __future__ import annotations

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2


async def is_serving(channel: grpc.aio.Channel, service: str = "", *, timeout_seconds: float = 2.0) -> bool:
    """Whether ``service`` (empty: all of the process's services) is SERVING. False also when nobody answers in time."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        response = await check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_seconds)
    except grpc.aio.AioRpcError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


async def _main(target: str, service: str) -> int:
    async with grpc.aio.insecure_channel(target) as channel:
        return 0 if await is_serving(channel, service) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")))  # noqa: PLR2004
