"""A gateway on a real socket, before back services that speak the real protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
import structlog

from gateway.migrations import FOLDER, SCHEMA
from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer
from shared.settings import load
from tests.contract.gateway.back_services import World, start

KEY_TEXT = "a key that only the tests of the gateway know"
OPERATOR_KEY = "lk_operator1_" + "s" * 40


@dataclass
class Back:
    """The running back services and what they hold."""

    world: World
    server: ServiceServer


@pytest.fixture
async def back() -> AsyncIterator[Back]:
    world = World()
    server = await start(world, CallerSigner(KEY_TEXT.encode()))
    yield Back(world, server)
    await server.stop(grace_seconds=0)


@pytest.fixture
def world(back: Back) -> World:
    return back.world


@pytest.fixture(autouse=True, scope="session")
def plain_logs() -> Iterator[None]:
    """Log lines as the product writes them; the library's default draws tracebacks with every variable, which takes seconds."""
    processors: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info]
    structlog.configure(processors=[*processors, structlog.processors.JSONRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """A database with the gateway's schema; a new one for each test would cost more than the test."""

    async def make() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("CREATE DATABASE gateway_contract")
        await connection.close()
        await Migrations(SCHEMA, FOLDER).upgrade(url)

    url = postgres_url.replace("/postgres?", "/gateway_contract?")
    asyncio.run(make())
    return url


@pytest.fixture
async def accounts_url(migrated_url: str) -> str:
    """A database in which there is no organisation yet."""
    connection = await asyncpg.connect(migrated_url)
    await connection.execute("TRUNCATE accounts.organisation CASCADE")
    await connection.close()
    return migrated_url


@pytest.fixture
async def settings(back: Back, accounts_url: str, monkeypatch: pytest.MonkeyPatch) -> GatewaySettings:
    target = f"127.0.0.1:{back.server.port}"
    environment = {
        "LECTERN_INTERNAL_KEY": KEY_TEXT,
        "LECTERN_GATEWAY_DATABASE_URL": accounts_url,
        "LECTERN_GATEWAY_LISTEN": "127.0.0.1:0",
        "LECTERN_GATEWAY_INGESTOR_TARGET": target,
        "LECTERN_GATEWAY_EMBEDDER_TARGET": target,
        "LECTERN_GATEWAY_GENERATOR_TARGET": target,
        "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": OPERATOR_KEY,
        "LECTERN_GATEWAY_LIMITS__MAX_JSON_BYTES": "1000000",
        "LECTERN_GATEWAY_LIMITS__MAX_UPLOAD_BYTES": "8000000",
        "LECTERN_GATEWAY_LIMITS__MAX_LINE_BYTES": "100000",
        "LECTERN_GATEWAY_TIMEOUTS__DRAIN_SECONDS": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(GatewaySettings)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with serve(settings) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the operator's key."""
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20) as client:
        yield client


class Clients:
    """Clients of one gateway, one for each key."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack

    async def with_key(self, key: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=self._url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
        return await self._stack.enter_async_context(client)


@pytest.fixture
async def clients(gateway: RunningGateway) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(gateway.url, stack)
