from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from deploy.laptop.probes import NoAnswerError, NotReadyError, grpc_health, http_ready, milvus_version, postgres_query, within
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer
from tests.conftest import free_port


@pytest.fixture
async def server(signer: CallerSigner) -> AsyncIterator[ServiceServer]:
    server = ServiceServer("test", signer=signer, service_names=("lectern.test.v1.TestService",))
    await server.start("127.0.0.1:0")
    yield server
    await server.stop(0)


async def test_grpc_health_follows_what_the_server_says(server: ServiceServer) -> None:
    probe = grpc_health(f"127.0.0.1:{server.port}")
    with pytest.raises(NotReadyError):
        await probe()
    await server.health.set_serving(True)
    await probe()
    await server.health.set_serving(False)
    with pytest.raises(NotReadyError):
        await probe()


@pytest.mark.parametrize(
    "make",
    [
        lambda port: grpc_health(f"127.0.0.1:{port}"),
        lambda port: milvus_version(f"127.0.0.1:{port}"),
        lambda port: http_ready(f"http://127.0.0.1:{port}/readyz"),
        lambda port: postgres_query(f"postgresql://postgres@127.0.0.1:{port}/lectern"),
        lambda port: postgres_query(f"postgresql://postgres@/lectern?host=/nowhere/{port}"),
    ],
    ids=["grpc", "milvus", "http", "postgres", "postgres socket"],
)
async def test_nobody_listening_is_no_answer(make: Callable[[int], Callable[[], object]]) -> None:
    with pytest.raises(NoAnswerError):
        await within(make(free_port()), 10)  # type: ignore[arg-type]


async def test_a_server_that_accepts_and_stays_silent_is_no_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for probe in (http_ready(f"http://127.0.0.1:{silent.getsockname()[1]}/"), grpc_health(f"127.0.0.1:{silent.getsockname()[1]}")):
            with pytest.raises(NoAnswerError):
                await within(probe, 0.2)


@asynccontextmanager
async def answering(status: str) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"status": "unavailable"}'
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz"


async def test_a_gateway_that_is_not_ready_says_why() -> None:
    async with answering("503 Service Unavailable") as url:
        with pytest.raises(NotReadyError, match=r"503.*unavailable"):
            await http_ready(url)()
    async with answering("200 OK") as url:
        await http_ready(url)()


async def test_a_probe_that_breaks_in_an_unforeseen_way_is_shown_and_not_raised() -> None:
    async def broken() -> None:
        raise ValueError("what a surprise")

    with pytest.raises(NotReadyError, match="ValueError: what a surprise"):
        await within(broken, 1)
