"""Answers when there are several gateways on one database, and when one of them is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.event_reading import all_events, events
from tests.contract.gateway.test_ask import script
from tests.contract.gateway.test_messages import messages, until

QUESTION = {"text": "How much leave?", "stream": True}


@pytest.fixture(autouse=True)
def brief_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways look after what they write, and hear of others' wishes, every half second."""
    monkeypatch.setattr("gateway.domain.chats.answering.LEASE_SECONDS", 1.5)


@pytest.fixture
async def other(gateway: RunningGateway, settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a second gateway on the same database."""
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with serve(settings) as second, httpx.AsyncClient(base_url=second.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def chat(client: httpx.AsyncClient, world: World) -> str:
    script(world)
    return "/api/v1/chats/" + str((await client.post("/api/v1/chats", json={})).json()["id"])


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_an_answer_is_stopped_and_followed_through_any_gateway(
    client: httpx.AsyncClient, other: httpx.AsyncClient, world: World, chat: str
) -> None:
    world.hold["Answer"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json=QUESTION) as response:
        got = []
        async for name, data in events(response):
            got.append((name, data))
            if name == "delta":
                answer = f"{chat}/messages/{got[0][1]['answer']['id']}"
                following = asyncio.create_task(other.get(f"{answer}/events"))
                stopped = (await other.post(f"{answer}:stop")).json()
    assert (stopped["state"], stopped["text"]) == ("STOPPED", "Thirty days")
    assert got[-1] == ("complete", stopped)
    followed = (await following).text
    assert [line for line in followed.splitlines() if line.startswith("event:")] == ["event: complete"]
    assert world.cancelled.is_set()


async def test_an_answer_whose_gateway_died_is_failed_to_whoever_reads_it(
    client: httpx.AsyncClient, other: httpx.AsyncClient, world: World, chat: str, accounts_url: str
) -> None:
    world.hold["Answer"] = asyncio.Event()
    async with client.stream("POST", f"{chat}/messages", json=QUESTION) as response:
        async for name, _ in events(response):
            if name == "delta":
                break
        # Nobody renews the lease of a process that is gone.
        await execute(accounts_url, "UPDATE accounts.message SET lease_until = now() - interval '1 s' WHERE state = 'STREAMING'")
        answer = (await messages(other, chat))[1]
        assert (answer["state"], answer["reason"]) == ("FAILED", "GATEWAY_LOST")
        async with other.stream("GET", f"{chat}/messages/{answer['id']}/events") as watched:
            assert [(event, data["reason"]) for event, data in await all_events(watched)] == [("error", "GATEWAY_LOST")]


async def test_a_gateway_that_starts_ends_what_a_dead_one_left(
    client: httpx.AsyncClient, chat: str, accounts_url: str, settings: GatewaySettings
) -> None:
    await client.post(f"{chat}/messages", json={"text": "How much leave?"})
    left = "UPDATE accounts.message SET state = 'STREAMING', lease_until = now() - interval '1 s' WHERE role = 'assistant'"
    await execute(accounts_url, left)
    async with serve(settings):
        connection = await asyncpg.connect(accounts_url)
        async with asyncio.timeout(30):
            while True:
                if await connection.fetchval("SELECT state FROM accounts.message WHERE role = 'assistant'") == "FAILED":
                    break
                await asyncio.sleep(0.02)  # polls what another task writes
        await connection.close()
    assert (await messages(client, chat))[1]["reason"] == "GATEWAY_LOST"


async def test_a_gateway_that_stops_stores_what_it_tells_its_readers(
    settings: GatewaySettings, world: World, client: httpx.AsyncClient
) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    begun = asyncio.Event()
    got: list[tuple[str, object]] = []
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    chat = "/api/v1/chats/" + (await client.post("/api/v1/chats", json={})).json()["id"]

    async def listen(url: str) -> None:
        async with (
            httpx.AsyncClient(base_url=url, headers=headers) as own,
            own.stream("POST", f"{chat}/messages", json=QUESTION) as response,
        ):
            async for event in events(response):
                got.append(event)
                if event[0] == "delta":
                    begun.set()

    async with serve(settings) as stopping:
        listening = asyncio.create_task(listen(stopping.url))
        await asyncio.wait_for(begun.wait(), 20)
    await asyncio.wait_for(listening, 20)
    assert [name for name, _ in got if name in {"complete", "error"}] == [got[-1][0]] == ["error"]
    answer = await until(client, f"{chat}/messages/{(await messages(client, chat))[1]['id']}", state="FAILED")
    assert (answer["reason"], answer["text"]) == ("GATEWAY_STOPPING", "Thirty days")
