from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings, Timeouts
from lectern.generator.v1 import generation_pb2 as pb
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY
from tests.contract.gateway.event_reading import all_events, events
from tests.contract.gateway.test_search import fill

ASK = "/api/v1/ask"
STREAMED = {"question": "How much leave?", "stream": True}


def script(world: World) -> None:
    fill(world, 3)
    complete = pb.AnswerComplete(answered=True, finish_reason=pb.FINISH_REASON_STOP, model="extractive")
    complete.timings.first_delta.FromMilliseconds(7)
    world.answer = [
        pb.AnswerResponse(delta=pb.AnswerDelta(text="Thirty days")),
        pb.AnswerResponse(delta=pb.AnswerDelta(text=" [1].\nNo more é.")),
        pb.AnswerResponse(citation=pb.Citation(marker=1, passage_id="p1", quote="Text 1", start=0, end=6)),
        pb.AnswerResponse(complete=complete),
    ]


async def test_an_answer_comes_with_its_evidence(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    response = await client.post(ASK, json={"question": "How much leave?", "model": "extractive", "language": "en"})
    body = response.json()
    assert body["answer"] == "Thirty days [1].\nNo more é."
    assert body["citations"] == [
        {
            "marker": 1,
            "passage_id": "p1",
            "document_id": "d1",
            "document_name": "1.pdf",
            "page": 1,
            "uri": None,
            "quote": "Text 1",
            "start": 0,
            "end": 6,
        },
    ]
    assert [hit["passage_id"] for hit in body["hits"]] == ["p0", "p1", "p2"]
    assert (body["answered"], body["model"], body["finish_reason"]) == (True, "extractive", "STOP")
    assert body["timings_ms"]["first_delta"] == 7
    assert {"embed", "library", "search", "answer", "total"} <= set(body["timings_ms"])
    assert body["trace_id"] == response.headers["X-Request-Id"]
    request = world.requests["Answer"][0]
    assert (request.question, request.model, request.language) == ("How much leave?", "extractive", "en")
    assert (request.passages[0].passage_id, list(request.passages[0].headings)) == ("p0", ["Leave", "How much"])


async def test_conditions_in_a_question_bound_the_search_and_are_no_part_of_what_is_answered(
    client: httpx.AsyncClient, world: World
) -> None:
    script(world)
    assert (await client.post(ASK, json={"question": "How much leave? type:pdf"})).status_code == 200
    assert world.requests["Search"][0].filter.comparison.field == "type"
    assert world.requests["Answer"][0].question == world.requests["Search"][0].query == "How much leave?"
    assert (await client.post(ASK, json={"question": "How much leave? type:pdf", "literal": True})).status_code == 200
    assert world.requests["Answer"][1].question == "How much leave? type:pdf"
    problem = (await client.post(ASK, json={"question": "How much leave? autor:ann"})).json()
    assert (problem["status"], problem["reason"], problem["errors"][0]["field"]) == (400, "UNKNOWN_FILTER_FIELD", "body.question")


async def test_a_streamed_answer_is_the_same_answer(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    whole = (await client.post(ASK, json={"question": "How much leave?"})).json()
    async with client.stream("POST", ASK, json=STREAMED) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        got = await all_events(response)
    assert [name for name, _ in got] == ["metadata", "delta", "delta", "citation", "complete"]
    assert got[0][1]["hits"] == whole["hits"]
    assert "".join(data["text"] for name, data in got if name == "delta") == whole["answer"]
    assert got[3][1] == whole["citations"][0]
    assert {key: got[4][1][key] for key in ("answer", "citations", "hits", "answered")} == {
        key: whole[key] for key in ("answer", "citations", "hits", "answered")
    }


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_search_that_fails_is_a_problem_also_for_a_stream(client: httpx.AsyncClient, world: World, streamed: bool) -> None:
    world.failures["Search"] = AppError("INDEX_BUSY", Status.RESOURCE_EXHAUSTED, "Full.", retry_after_seconds=4)
    response = await client.post(ASK, json={"question": "x", "stream": streamed})
    assert (response.status_code, response.headers["Retry-After"]) == (429, "4")
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_generator_that_fails_ends_the_stream_with_an_error(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    world.failures["Answer"] = AppError("MODEL_UNKNOWN", Status.INVALID_ARGUMENT, "There is no model 'x'.")
    async with client.stream("POST", ASK, json=STREAMED) as response:
        got = await all_events(response)
    assert [name for name, _ in got] == ["metadata", "error"]
    assert (got[1][1]["reason"], got[1][1]["status"], got[1][1]["request_id"]) == ("MODEL_UNKNOWN", 400, response.headers["X-Request-Id"])
    problem = (await client.post(ASK, json={"question": "x"})).json()
    assert (problem["status"], problem["reason"]) == (400, "MODEL_UNKNOWN")


async def test_a_stream_cut_midway_ends_with_an_error_and_names_no_host(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    world.cut_after["Answer"] = 1
    async with client.stream("POST", ASK, json=STREAMED) as response:
        got = await all_events(response)
    assert [name for name, _ in got] == ["metadata", "delta", "error"]
    assert (got[-1][1]["reason"], got[-1][1]["status"]) == ("GENERATOR_UNAVAILABLE", 503)
    assert "private" not in got[-1][1]["detail"]


async def test_a_generator_that_ends_without_completing_is_an_error(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    world.answer = world.answer[:2]
    async with client.stream("POST", ASK, json=STREAMED) as response:
        got = await all_events(response)
    assert (got[-1][0], got[-1][1]["reason"]) == ("error", "ANSWER_CUT")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_ends_the_work_of_the_generator(client: httpx.AsyncClient, world: World, streamed: bool) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    asking = asyncio.create_task(client.post(ASK, json={"question": "x", "stream": streamed}))
    await asyncio.wait_for(world.held.wait(), 10)
    asking.cancel()
    await asyncio.wait_for(world.cancelled.wait(), 10)


@asynccontextmanager
async def serving(settings: GatewaySettings, **timeouts: float) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(settings.model_copy(update={"timeouts": Timeouts(**timeouts)})) as gateway:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20) as client:
            yield client


async def test_silence_is_filled_with_comments(world: World, settings: GatewaySettings) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    async with serving(settings, heartbeat_seconds=0.05, drain_seconds=1) as client, client.stream("POST", ASK, json=STREAMED) as response:
        names = []
        async for name, _ in events(response):
            names.append(name)
            if names[-2:] == [":", ":"]:
                world.hold["Answer"].set()
    assert [name for name in names if name != ":"] == ["metadata", "delta", "delta", "citation", "complete"]


async def test_a_stopping_gateway_tells_those_who_listen(world: World, settings: GatewaySettings) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    listening = asyncio.Event()
    got: list[tuple[str, Any]] = []

    async def listen(url: str) -> None:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        async with httpx.AsyncClient(headers=headers) as client, client.stream("POST", url + ASK, json=STREAMED) as response:
            async for event in events(response):
                got.append(event)
                listening.set()

    async with serve(settings.model_copy(update={"timeouts": Timeouts(drain_seconds=1)})) as gateway:
        hearing = asyncio.create_task(listen(gateway.url))
        await asyncio.wait_for(listening.wait(), 10)
    await asyncio.wait_for(hearing, 10)
    assert (got[-1][0], got[-1][1]["reason"]) == ("error", "GATEWAY_STOPPING")
    assert world.cancelled.is_set()
