"""`/v1/chat/completions`, asked by OpenAI's own package, unmodified."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from gateway.server import RunningGateway, serve
from gateway.settings import GatewaySettings, Timeouts
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World
from tests.contract.gateway.conftest import OPERATOR_KEY, Clients
from tests.contract.gateway.test_accounts import new_organisation
from tests.contract.gateway.test_ask import script

COMPLETIONS = "/v1/chat/completions"
ASKED: list[Any] = [{"role": "user", "content": "How much leave?"}]
TEXT = "Thirty days [1].\nNo more é."
CONVERSATION: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "A librarian.", "refusal": None, "annotations": []},
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "How much leave "}, {"type": "text", "text": "type:pdf autor:ann?"}]},
]


@pytest.fixture
async def client_of_openai(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OPERATOR_KEY, max_retries=0, timeout=20) as opened:
        yield opened


async def test_an_answer_comes_with_its_citations(client_of_openai: openai.AsyncOpenAI, gateway: RunningGateway, world: World) -> None:
    script(world)
    world.answer[-1].complete.usage.prompt_tokens, world.answer[-1].complete.usage.answer_tokens = 210, 14
    reply = await client_of_openai.chat.completions.create(model="extractive", messages=ASKED)
    assert (reply.object, reply.model, reply.id.startswith("chatcmpl-")) == ("chat.completion", "extractive", True)
    [choice] = reply.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert choice.message.annotations
    [annotation] = choice.message.annotations
    cited = annotation.url_citation
    assert TEXT[cited.start_index : cited.end_index] == "[1]"
    assert (cited.title, cited.url) == ("1.pdf", f"{gateway.url}/api/v1/passages/p1")
    assert reply.usage
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (210, 14, 224)
    [citation] = reply.model_extra["citations"] if reply.model_extra else []
    assert (citation["marker"], citation["passage_id"], citation["page"], citation["quote"]) == (1, "p1", 1, "Text 1")


def assert_is_the_streamed_answer(chunks: list[ChatCompletionChunk]) -> None:
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == ("assistant", "")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == TEXT
    *before, end, usage = chunks
    assert [chunk.choices[0].finish_reason for chunk in before] == [None, None, None]
    assert end.choices[0].finish_reason == "stop"
    extra = end.choices[0].delta.model_extra or {}
    [annotation] = extra["annotations"]
    assert TEXT[annotation["url_citation"]["start_index"] : annotation["url_citation"]["end_index"]] == "[1]"
    assert [citation["passage_id"] for citation in (end.model_extra or {})["citations"]] == ["p1"]
    assert usage.choices == []
    assert usage.usage is not None


async def test_a_streamed_answer_comes_in_chunks_with_citations_and_usage_last(client_of_openai: openai.AsyncOpenAI, world: World) -> None:
    script(world)
    stream = await client_of_openai.chat.completions.create(
        model="extractive", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    assert_is_the_streamed_answer([chunk async for chunk in stream])


async def test_the_blocking_client_reads_the_same(gateway: RunningGateway, world: World) -> None:
    script(world)

    def ask() -> list[ChatCompletionChunk]:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=OPERATOR_KEY, max_retries=0, timeout=20) as client:
            whole = client.chat.completions.create(model="extractive", messages=ASKED)
            assert whole.choices[0].message.content == TEXT
            return list(
                client.chat.completions.create(model="extractive", messages=ASKED, stream=True, stream_options={"include_usage": True})
            )

    assert_is_the_streamed_answer(await asyncio.to_thread(ask))


async def test_a_stream_is_what_openai_sends_byte_by_byte(client: httpx.AsyncClient, world: World) -> None:
    script(world)
    response = await client.post(COMPLETIONS, json={"model": "extractive", "messages": ASKED, "stream": True})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: ") for event in events[:-1])
    first = json.loads(events[0].removeprefix("data: "))
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}]
    assert all("usage" not in json.loads(event.removeprefix("data: ")) for event in events[:-2])


async def test_messages_become_instructions_history_and_a_question_without_conditions(
    client_of_openai: openai.AsyncOpenAI, world: World
) -> None:
    script(world)
    await client_of_openai.chat.completions.create(
        model="extractive", messages=CONVERSATION, max_completion_tokens=77, extra_body={"language": "fr", "filter": {"type": "pdf"}}
    )
    asked, searched = world.requests["Answer"][0], world.requests["Search"][0]
    assert asked.question == "How much leave type:pdf autor:ann?"
    assert asked.instructions == "Be brief.\n\nBe kind."
    assert [(turn.role, turn.text) for turn in asked.history] == [(2, "Who are you?"), (3, "A librarian.")]
    assert (asked.max_answer_tokens, asked.language) == (77, "fr")
    assert searched.filter.comparison.field == "type"


async def test_an_assistant_is_a_model(client_of_openai: openai.AsyncOpenAI, client: httpx.AsyncClient, world: World) -> None:
    script(world)
    await client.post("/api/v1/collections", json={"name": "handbook"})
    body = {"name": "tutor", "prompt": "Teach.", "collections": ["handbook"], "model": "extractive"}
    assert (await client.post("/api/v1/assistants", json=body)).status_code == 201
    assert "tutor" in {model.id async for model in client_of_openai.models.list()}
    reply = await client_of_openai.chat.completions.create(model="tutor", messages=[CONVERSATION[0], *ASKED])
    assert reply.model == "tutor"
    asked = world.requests["Answer"][0]
    assert (asked.instructions, asked.model) == ("Teach.\n\nBe brief.", "extractive")
    assert list(world.requests["Search"][0].collection_ids) == ["col_0"]


async def test_a_private_assistant_of_another_organisation_is_no_model(
    client: httpx.AsyncClient, clients: Clients, gateway: RunningGateway, world: World
) -> None:
    script(world)
    await client.post("/api/v1/assistants", json={"name": "tutor", "prompt": "CANARY"})
    umbra = (await new_organisation(client, "umbra"))["api_key"]["key"]
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=umbra, max_retries=0, timeout=20) as theirs:
        assert "tutor" not in {model.id async for model in theirs.models.list()}
        await theirs.chat.completions.create(model="tutor", messages=ASKED)
    assert world.requests["Answer"][0].model == "tutor"
    assert world.requests["Answer"][0].instructions == ""


async def test_errors_have_openais_shape(client_of_openai: openai.AsyncOpenAI, gateway: RunningGateway, world: World) -> None:
    script(world)
    world.failures["Answer"] = AppError("MODEL_NOT_FOUND", Status.NOT_FOUND, "There is no model 'x'.")
    with pytest.raises(openai.NotFoundError) as unknown:
        await client_of_openai.chat.completions.create(model="x", messages=ASKED)
    assert (unknown.value.code, unknown.value.type) == ("model_not_found", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as wrong:
        await client_of_openai.chat.completions.create(model="x", messages=[{"role": "assistant", "content": "Hello."}])
    assert (wrong.value.code, wrong.value.param) == ("last_message_not_a_question", "messages[0]")
    world.failures["Search"] = AppError("INDEX_BUSY", Status.RESOURCE_EXHAUSTED, "Full.", retry_after_seconds=4)
    with pytest.raises(openai.RateLimitError) as busy:
        await client_of_openai.chat.completions.create(model="x", messages=ASKED, stream=True)
    assert busy.value.response.headers["Retry-After"] == "4"
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-nobody", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="x", messages=ASKED)


async def test_an_answer_that_breaks_off_ends_the_stream_with_an_error_and_no_done(
    client_of_openai: openai.AsyncOpenAI, client: httpx.AsyncClient, world: World
) -> None:
    script(world)
    world.cut_after["Answer"] = 1
    got: list[str] = []
    with pytest.raises(openai.APIError) as broken:
        async for chunk in await client_of_openai.chat.completions.create(model="x", messages=ASKED, stream=True):
            got.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  # what came before the failure is kept
    assert got == ["", "Thirty days"]
    assert broken.value.code == "generator_unavailable"
    text = (await client.post(COMPLETIONS, json={"messages": ASKED, "stream": True})).text
    assert "[DONE]" not in text
    assert text.count('"error"') == 1


async def test_a_stopping_gateway_says_so_in_openais_shape(settings: GatewaySettings, world: World) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    begun = asyncio.Event()

    async def listen(url: str) -> None:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=OPERATOR_KEY, max_retries=0, timeout=20) as client:
            async for _ in await client.chat.completions.create(model="x", messages=ASKED, stream=True):
                begun.set()

    async with serve(settings.model_copy(update={"timeouts": Timeouts(drain_seconds=1)})) as gateway:
        listening = asyncio.create_task(listen(gateway.url))
        await asyncio.wait_for(begun.wait(), 20)
    with pytest.raises(openai.APIError) as ended:
        await asyncio.wait_for(listening, 20)
    assert ended.value.code == "gateway_stopping"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_ends_the_work(client: httpx.AsyncClient, world: World, streamed: bool) -> None:
    script(world)
    world.hold["Answer"] = asyncio.Event()
    asking = asyncio.create_task(client.post(COMPLETIONS, json={"messages": ASKED, "stream": streamed}))
    await asyncio.wait_for(world.held.wait(), 20)
    asking.cancel()
    await asyncio.wait_for(world.cancelled.wait(), 20)


IGNORED: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.9,
    "seed": 7,
    "user": "somebody",
    "metadata": {"a": "b"},
    "presence_penalty": 0.5,
    "reasoning_effort": "low",
    "store": False,
    "n": 1,
    "tool_choice": "none",
    "tools": [],
    "response_format": {"type": "text"},
    "logprobs": False,
    "stop": None,
}


async def test_parameters_that_change_nothing_here_are_taken(client_of_openai: openai.AsyncOpenAI, world: World) -> None:
    script(world)
    reply = await client_of_openai.chat.completions.create(model="extractive", messages=ASKED, **IGNORED)
    assert reply.choices[0].message.content == TEXT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("n", 2),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("stop", ["."]),
        ("modalities", ["text", "audio"]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}]),
        ("messages", [{"role": "tool", "content": "x", "tool_call_id": "t"}]),
        ("messages", []),
        ("made_up", 1),
    ],
)
async def test_parameters_that_we_cannot_follow_are_refused_by_name(client: httpx.AsyncClient, world: World, name: str, value: Any) -> None:
    refused = await client.post(COMPLETIONS, json={"model": "extractive", "messages": ASKED, name: value})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(name)
    assert world.requests["Answer"] == []
