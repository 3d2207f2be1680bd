"""Questions and answers over a real WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.domain.conversation import MAX_CHARACTERS, MAX_EXCHANGES, Conversation
from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings, Limits, Timeouts
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.test_accounts import new_key, new_organisation
from tests.contract.gateway.test_ask import script

TEXT = "Thirty days [1].\nNo more é."
AUTH = {"type": "AUTH", "key": OPERATOR_KEY}
QUERY = {"type": "QUERY", "id": "q1", "question": "How much leave?"}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(url.replace("http", "ws", 1) + "/api/v1/ask/ws", open_timeout=20, close_timeout=20) as socket:
        yield socket


@pytest.fixture
async def socket(gateway: RunningGateway) -> AsyncIterator[ClientConnection]:
    """A socket that has authenticated."""
    async with opened(gateway.url) as socket:
        await send(socket, AUTH)
        assert (await receive(socket))["type"] == "AUTH"
        yield socket


async def send(socket: ClientConnection, frame: dict[str, Any]) -> None:
    await socket.send(json.dumps(frame))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 20))
    return frame


async def ask(socket: ClientConnection, **query: Any) -> list[dict[str, Any]]:
    """The frames of an answer, to its last."""
    await send(socket, QUERY | query)
    frames = [await receive(socket)]
    while frames[-1]["type"] == "ANSWER" and frames[-1]["event"] not in {"complete", "error"}:
        frames.append(await receive(socket))
    return frames


async def closed(socket: ClientConnection) -> tuple[dict[str, Any], int]:
    """The last frame of a socket that the gateway closes, and the code that it closes it with."""
    last = await receive(socket)
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), 20)
    return last, socket.close_code or 0


async def test_an_answer_comes_in_frames_that_name_their_question(
    socket: ClientConnection, client: httpx.AsyncClient, world: World
) -> None:
    script(world)
    frames = await ask(socket)
    assert [frame["event"] for frame in frames] == ["metadata", "delta", "delta", "citation", "complete"]
    assert {(frame["type"], frame["id"]) for frame in frames} == {("ANSWER", "q1")}
    assert "".join(frame["data"]["text"] for frame in frames[1:3]) == frames[-1]["data"]["answer"] == TEXT
    whole = (await client.post("/api/v1/ask", json={"question": QUERY["question"]})).json()
    assert frames[3]["data"] == whole["citations"][0]
    assert frames[-1]["data"].keys() == whole.keys()


async def test_a_socket_remembers_its_conversation_until_it_is_cleared(socket: ClientConnection, world: World) -> None:
    script(world)
    await ask(socket)
    await ask(socket, question="And unpaid?")
    turns = [(turn.role, turn.text) for turn in world.requests["Answer"][-1].history]
    assert turns == [(2, "How much leave?"), (3, TEXT)]
    await send(socket, {"type": "CLEAR"})
    assert await receive(socket) == {"type": "CLEAR"}
    await ask(socket)
    assert list(world.requests["Answer"][-1].history) == []


async def test_a_question_may_name_an_assistant_and_conditions(socket: ClientConnection, client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await client.post("/api/v1/assistants", json={"name": "tutor", "prompt": "Teach."})
    await ask(socket, assistant="tutor", filter={"type": "pdf"}, language="fr")
    asked = world.requests["Answer"][0]
    assert (asked.instructions, asked.language) == ("Teach.", "fr")
    assert world.requests["Search"][0].filter.comparison.field == "type"
    [error] = await ask(socket, assistant="nobody")
    assert (error["event"], error["data"]["reason"]) == ("error", "ASSISTANT_NOT_FOUND")


async def test_an_answer_that_is_stopped_stops_the_work_and_stays_in_the_conversation(socket: ClientConnection, world: World) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    await send(socket, QUERY)
    assert [(await receive(socket))["event"] for _ in range(2)] == ["metadata", "delta"]
    await send(socket, {"type": "ANSWER_STOP"})
    assert await receive(socket) == {"type": "ANSWER_STOP", "id": "q1", "stopped": True}
    await asyncio.wait_for(world.cancelled.wait(), 20)
    await send(socket, {"type": "ANSWER_STOP"})
    assert (await receive(socket))["stopped"] is False
    world.hold.clear()
    assert (await ask(socket, question="And unpaid?"))[-1]["event"] == "complete"
    assert [turn.text for turn in world.requests["Answer"][-1].history] == ["How much leave?", "Thirty days"]


async def test_one_answer_is_written_at_a_time(socket: ClientConnection, world: World) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    await send(socket, QUERY)
    await asyncio.wait_for(world.held.wait(), 20)
    await send(socket, QUERY | {"id": "q2"})
    frames = [await receive(socket) for _ in range(3)]
    [refused] = [frame for frame in frames if frame["type"] == "ERROR"]
    assert (refused["id"], refused["problem"]["reason"]) == ("q2", "ANSWER_IN_WORK")
    assert len(world.requests["Answer"]) == 1


async def test_a_client_that_leaves_ends_the_work(gateway: RunningGateway, client: httpx.AsyncClient, world: World) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    async with opened(gateway.url) as socket:
        await send(socket, AUTH)
        await send(socket, QUERY)
        await asyncio.wait_for(world.held.wait(), 20)
        assert "lectern_ask_sockets_open 1.0" in (await client.get("/metrics")).text
    await asyncio.wait_for(world.cancelled.wait(), 20)
    async with asyncio.timeout(20):
        while "lectern_ask_sockets_open 0.0" not in (await client.get("/metrics")).text:
            pass


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (QUERY, "API_KEY_MISSING"),
        (AUTH | {"key": "lk_nobody77_" + "s" * 40}, "API_KEY_INVALID"),
        ({"type": "AUTH"}, "INVALID_REQUEST"),
        ({"type": "HELLO"}, "INVALID_REQUEST"),
    ],
)
async def test_nobody_asks_without_a_key(gateway: RunningGateway, world: World, first: dict[str, Any], reason: str) -> None:
    async with opened(gateway.url) as socket:
        await send(socket, first)
        error, code = await closed(socket)
    assert (error["type"], error["problem"]["reason"], code) == ("ERROR", reason, 1008)
    assert world.requests["Answer"] == []


async def test_a_key_that_is_revoked_asks_no_more(gateway: RunningGateway, client: httpx.AsyncClient, world: World) -> None:
    script(world)
    made = await new_key(client)
    async with opened(gateway.url) as socket:
        await send(socket, AUTH | {"key": made["key"]})
        assert (await receive(socket))["type"] == "AUTH"
        await client.delete(f"/api/v1/api-keys/{made['id']}")
        await send(socket, QUERY)
        error, code = await closed(socket)
    assert (error["problem"]["reason"], code) == ("API_KEY_INVALID", 1008)


async def test_sockets_of_two_organisations_at_once_ask_each_its_own(
    socket: ClientConnection, gateway: RunningGateway, client: httpx.AsyncClient, world: World
) -> None:
    script(world)
    umbra = await new_organisation(client, "umbra")
    await client.post("/api/v1/collections", json={"name": "ours"})
    async with opened(gateway.url) as other:
        await send(other, AUTH | {"key": umbra["api_key"]["key"]})
        assert (await receive(other)) == {"type": "AUTH", "organisation_id": umbra["id"]}
        ours, theirs = await asyncio.gather(ask(socket, collections=["ours"]), ask(other, collections=["ours"]))
    assert ours[-1]["event"] == "complete"
    assert (theirs[-1]["event"], theirs[-1]["data"]["reason"]) == ("error", "COLLECTION_NOT_FOUND")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", ""),
        ('{"type": "QUERY"}', "frame.question"),
        ('{"type": "QUERY", "question": "x", "colections": []}', "frame.colections"),
        ('{"type": "AUTH", "key": "lk_x"}', ""),
    ],
)
async def test_a_frame_that_is_wrong_is_told_and_the_socket_stays(socket: ClientConnection, world: World, text: str, place: str) -> None:
    script(world)
    await socket.send(text)
    error = await receive(socket)
    assert error["type"] == "ERROR"
    assert [each["field"] for each in error["problem"]["errors"]] == ([place] if place else [])
    assert (await ask(socket))[-1]["event"] == "complete"


async def test_a_frame_that_is_too_large_closes_the_socket(socket: ClientConnection) -> None:
    await socket.send("x" * 300_000)
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), 20)
    assert socket.close_code == 1009


async def test_an_answer_that_breaks_off_ends_with_one_error(socket: ClientConnection, world: World) -> None:
    script(world)
    world.cut_after["Answer"] = 1
    frames = await ask(socket)
    assert [frame["event"] for frame in frames] == ["metadata", "delta", "error"]
    assert frames[-1]["data"]["reason"] == "GENERATOR_UNAVAILABLE"
    world.cut_after.clear()
    world.failures["Search"] = AppError("INDEX_BUSY", Status.RESOURCE_EXHAUSTED, "Full.", retry_after_seconds=4)
    assert (await ask(socket))[-1]["data"]["reason"] == "INDEX_BUSY"


async def test_silence_has_a_bound_before_and_after_the_key(settings: GatewaySettings, world: World) -> None:
    short = settings.model_copy(update={"timeouts": Timeouts(socket_auth_seconds=0.1, socket_idle_seconds=0.2, drain_seconds=1)})
    async with serve(short) as gateway, opened(gateway.url) as silent:
        error, code = await closed(silent)
        assert (error["problem"]["reason"], code) == ("API_KEY_MISSING", 1008)
    patient = settings.model_copy(update={"timeouts": Timeouts(socket_idle_seconds=0.2, drain_seconds=1)})
    async with serve(patient) as gateway, opened(gateway.url) as idle:
        await send(idle, AUTH)
        assert (await receive(idle))["type"] == "AUTH"
        error, code = await closed(idle)
        assert (error["problem"]["reason"], code) == ("SOCKET_IDLE", 1001)


async def test_a_stopping_gateway_says_so(settings: GatewaySettings, world: World) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    async with serve(settings.model_copy(update={"timeouts": Timeouts(drain_seconds=5)})) as gateway:
        socket = await connect(gateway.url.replace("http", "ws", 1) + "/api/v1/ask/ws")
        await send(socket, AUTH)
        await send(socket, QUERY)
        assert [(await receive(socket))["type"] for _ in range(3)] == ["AUTH", "ANSWER", "ANSWER"]
    error, code = await closed(socket)
    assert (error["problem"]["reason"], code) == ("GATEWAY_STOPPING", 1001)
    assert world.cancelled.is_set()


async def test_sockets_count_among_the_requests_in_work(settings: GatewaySettings, world: World) -> None:
    few = settings.model_copy(update={"limits": Limits(max_concurrent_requests=1)})
    async with serve(few) as gateway, opened(gateway.url) as first:
        await send(first, AUTH)
        assert (await receive(first))["type"] == "AUTH"
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.url.replace("http", "ws", 1) + "/api/v1/ask/ws")
        assert refused.value.response.status_code == 403


def test_a_conversation_forgets_its_oldest_exchanges() -> None:
    conversation = Conversation()
    for number in range(MAX_EXCHANGES + 1):
        conversation.add(f"q{number}", "a")
    assert (len(conversation.turns), conversation.turns[0].text) == (2 * MAX_EXCHANGES, "q1")
    conversation.add("long", "x" * MAX_CHARACTERS)
    assert conversation.turns == []
