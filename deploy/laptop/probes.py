"""How the supervisor learns that a service can do its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import grpc
import httpx
from grpc_health.v1 import health_pb2

PROBE_SECONDS = 5.0


class NotReadyError(Exception):
    """The service answered, and said that it cannot work yet; the text says why."""


class NoAnswerError(Exception):
    """The service did not answer at all."""


# Returns when the service can work; raises NotReadyError or NoAnswerError otherwise.
Probe = Callable[[], Awaitable[None]]


def grpc_health(target: str) -> Probe:
    """SERVING for the whole server, by ``grpc.health.v1``."""

    async def probe() -> None:
        reply = await _ask(target, "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest().SerializeToString())
        if health_pb2.HealthCheckResponse.FromString(reply).status != health_pb2.HealthCheckResponse.SERVING:
            raise NotReadyError("It runs but is not serving yet.")

    return probe


def milvus_version(target: str) -> Probe:
    """Any answer to Milvus's ``GetVersion``, whose request is an empty message, so that its client library need not be loaded."""

    async def probe() -> None:
        await _ask(target, "/milvus.proto.milvus.MilvusService/GetVersion", b"")

    return probe


async def _ask(target: str, method: str, request: bytes) -> bytes:
    """Call ``method`` over a connection of its own with messages that are already bytes."""
    async with grpc.aio.insecure_channel(target) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            return await ask(request, timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise NoAnswerError(f"{target} does not answer.") from error
            raise NotReadyError(f"{target} answers {error.code().name}: {error.details()}") from error


def http_ready(url: str) -> Probe:
    """A 2xx answer to a GET of ``url``."""
    # One client, since making one is slow, but no kept connections: each probe shows that a new one is accepted.
    client = httpx.AsyncClient(timeout=PROBE_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    async def probe() -> None:
        try:
            response = await client.get(url)
        except httpx.TransportError as error:
            raise NoAnswerError(f"{url} does not answer.") from error
        if not response.is_success:
            raise NotReadyError(f"{url} answers {response.status_code}: {response.text[:300]}")

    return probe


def postgres_query(dsn: str) -> Probe:
    """A connection and one statement."""

    async def probe() -> None:
        try:
            connection = await asyncpg.connect(dsn, timeout=PROBE_SECONDS)
            try:
                await connection.execute("SELECT 1", timeout=PROBE_SECONDS)
            finally:
                await connection.close(timeout=PROBE_SECONDS)
        except asyncpg.CannotConnectNowError as error:
            raise NotReadyError(f"It is starting or recovering: {error}.") from error
        except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
            raise NoAnswerError("It does not accept connections.") from error
        except asyncpg.PostgresError as error:
            raise NotReadyError(f"It refuses: {error}.") from error

    return probe


async def within(probe: Probe, seconds: float) -> None:
    """Run ``probe`` with an upper bound of its own, whatever the library underneath does.

    Raises:
        NotReadyError: the service cannot work yet.
        NoAnswerError: it did not answer in time.
    """
    try:
        async with asyncio.timeout(seconds):
            await probe()
    except TimeoutError:
        raise NoAnswerError(f"It has not answered within {seconds:g} s.") from None
    except (NotReadyError, NoAnswerError):
        raise
    except Exception as error:
        raise NotReadyError(f"It cannot be checked: {type(error).__name__}: {error}") from error
