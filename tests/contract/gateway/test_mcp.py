"""`/mcp`, asked by the protocol's own client, unmodified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.test_accounts import new_organisation
from tests.contract.gateway.test_ask import script

HANDSHAKE, MODERN = "legacy", "auto"


@asynccontextmanager
async def agent(url: str, key: str = OPERATOR_KEY, mode: Any = MODERN) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, read_timeout_seconds=20) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", [HANDSHAKE, MODERN])
async def test_an_agent_lists_and_calls_every_tool(client: httpx.AsyncClient, gateway: RunningGateway, world: World, mode: str) -> None:
    script(world)
    await client.post("/api/v1/collections", json={"name": "handbook", "description": "How we work"})
    await client.post("/api/v1/assistants", json={"name": "tutor", "prompt": "Teach."})
    async with agent(gateway.url, mode=mode) as model:
        tools = {tool.name: tool for tool in (await model.list_tools()).tools}
        assert set(tools) == {"search", "read_passage", "ask", "list_collections"}
        assert all(tool.description and tool.output_schema and tool.annotations for tool in tools.values())
        assert set(tools["search"].input_schema["properties"]) == {"query", "collections", "filter", "limit"}

        listed = (await model.call_tool("list_collections")).structured_content
        assert listed == {
            "collections": [{"name": "handbook", "description": "How we work", "document_count": 0}],
            "next_page_token": None,
        }
        found = (await model.call_tool("search", {"query": "leave type:pdf", "collections": ["handbook"], "limit": 2})).structured_content
        assert found
        assert [(hit["passage_id"], hit["page"], hit["score"]) for hit in found["passages"]] == [("p0", None, 1.0), ("p1", 1, 0.5)]
        assert world.requests["Search"][0].query == "leave"
        read = (await model.call_tool("read_passage", {"passage_id": "p1"})).structured_content
        assert read
        assert (read["passage"]["text"], read["passage"]["document_name"]) == ("Text 1.", "1.pdf")
        answer = (await model.call_tool("ask", {"question": "How much leave?", "assistant": "tutor"})).structured_content
        assert answer
        assert (answer["answer"], answer["answered"]) == ("Thirty days [1].\nNo more é.", True)
        assert [(one["marker"], one["passage_id"], one["quote"]) for one in answer["citations"]] == [(1, "p1", "Text 1")]
        assert world.requests["Answer"][0].instructions == "Teach."
    assert 'lectern_http_ended_total{method="POST",route="/mcp",status="200"}' in (await client.get("/metrics")).text


async def test_what_goes_wrong_is_told_to_the_agent_as_a_tools_error(gateway: RunningGateway, world: World) -> None:
    script(world)
    async with agent(gateway.url) as model:
        for tool, arguments, reason in (
            ("search", {"query": "leave", "collections": ["nothing"]}, "COLLECTION_NOT_FOUND"),
            ("search", {"query": "leave autor:ann"}, "UNKNOWN_FILTER_FIELD"),
            ("ask", {"question": "leave", "assistant": "nobody"}, "ASSISTANT_NOT_FOUND"),
            ("read_passage", {"passage_id": "gone"}, "PASSAGE_NOT_FOUND"),
            ("search", {"query": "leave", "limit": 1000}, "limit"),
            ("search", {}, "query"),
        ):
            result = await model.call_tool(tool, arguments)
            assert result.is_error, tool
            assert reason in str(result.content), (tool, result.content)
        world.failures["Search"] = AppError("INDEX_BUSY", Status.RESOURCE_EXHAUSTED, "Full.", retry_after_seconds=4)
        assert "Full. (INDEX_BUSY)" in str((await model.call_tool("search", {"query": "leave"})).content)


@pytest.mark.parametrize("mode", [HANDSHAKE, MODERN])
async def test_every_call_is_its_own_callers_also_when_they_come_at_once(
    client: httpx.AsyncClient, gateway: RunningGateway, world: World, mode: str
) -> None:
    await client.post("/api/v1/collections", json={"name": "ours"})
    umbra = (await new_organisation(client, "umbra"))["api_key"]["key"]
    await client.post("/api/v1/collections", json={"name": "theirs"}, headers={"Authorization": f"Bearer {umbra}"})
    async with agent(gateway.url, mode=mode) as one, agent(gateway.url, umbra, mode=mode) as other:
        replies = await asyncio.gather(*(model.call_tool("list_collections") for _ in range(10) for model in (one, other)))
        seen = [[each["name"] for each in (reply.structured_content or {})["collections"]] for reply in replies]
        assert seen == [["ours"], ["theirs"]] * 10
        assert (await other.call_tool("search", {"query": "x", "collections": ["ours"]})).is_error


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Bearer lk_nobody77_" + "s" * 40])
async def test_nobody_gets_in_without_a_key(client: httpx.AsyncClient, token: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        response = await client.request(method, "/mcp", headers={"Authorization": token}, json={})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("mode", [HANDSHAKE, MODERN])
async def test_an_agent_that_leaves_ends_the_work(gateway: RunningGateway, world: World, mode: str) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()

    async def ask() -> None:
        async with agent(gateway.url, mode=mode) as model:
            await model.call_tool("ask", {"question": "How much leave?"})

    asking = asyncio.create_task(ask())
    await asyncio.wait_for(world.held.wait(), 20)
    asking.cancel()
    await asyncio.wait_for(world.cancelled.wait(), 20)
    await asyncio.wait({asking})


async def test_only_the_hosts_that_are_named_are_answered(settings: GatewaySettings, world: World) -> None:
    chosen = settings.model_copy(update={"mcp_hosts": ("lectern.example",)})
    async with serve(chosen) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}", "Accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        statuses = [
            (await client.post("/mcp", json=body, headers=headers | {"Host": host})).status_code
            for host in ("127.0.0.1", "lectern.example")
        ]
    assert statuses == [421, 200]
