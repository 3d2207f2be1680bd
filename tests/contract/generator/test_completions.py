"""Complete and CountTokens over a socket, with a scripted endpoint behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.errors import AppError, Status
from shared.rpc.status import from_rpc_error
from tests.contract.generator.endpoint import Endpoint, Reply, delta, running_endpoint

if TYPE_CHECKING:
    Stub = generation_pb2_grpc.GenerationServiceAsyncStub
    StartGenerator = Callable[..., Awaitable[Stub]]

SYSTEM, USER, ASSISTANT = (
    generation_pb2.TURN_ROLE_SYSTEM,
    generation_pb2.TURN_ROLE_USER,
    generation_pb2.TURN_ROLE_ASSISTANT,
)
TURNS = [
    generation_pb2.Turn(role=SYSTEM, text="Be brief."),
    generation_pb2.Turn(role=USER, text="Name a colour."),
    generation_pb2.Turn(role=ASSISTANT, text="Red."),
    generation_pb2.Turn(role=USER, text="Another."),
]
SCHEMA = json.dumps({"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"], "additionalProperties": False})


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


async def generator_of(start: StartGenerator, endpoint: Endpoint, **environment: str) -> Stub:
    return await start(OPENAI__BASE_URL=endpoint.base_url, OPENAI__MODEL="tiny", OPENAI__API_KEY="sk-secret", **environment)


async def collect(stub: Stub, **fields: object) -> list[generation_pb2.CompleteResponse]:
    request = generation_pb2.CompleteRequest(**{"messages": TURNS, **fields})  # type: ignore[arg-type]
    return [response async for response in stub.Complete(request, timeout=20)]


async def error_of(stub: Stub, **fields: object) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await collect(stub, **fields)
    return from_rpc_error(raised.value)


def text_of(events: list[generation_pb2.CompleteResponse]) -> str:
    return "".join(event.delta.text for event in events)


async def test_messages_reach_the_model_as_they_are_and_its_text_comes_back_in_pieces(
    start_generator: StartGenerator, endpoint: Endpoint
) -> None:
    endpoint.says("Bl", "ue [1].")
    events = await collect(await generator_of(start_generator, endpoint), max_tokens=50)
    assert text_of(events) == "Blue [1]."
    assert [event.WhichOneof("event") for event in events][-1] == "complete"
    complete = events[-1].complete
    assert complete.model == "tiny"
    assert complete.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert (complete.usage.prompt_tokens, complete.usage.answer_tokens) == (210, 14)
    assert 0 < complete.timings.first_delta.ToNanoseconds() <= complete.timings.total.ToNanoseconds()
    asked = endpoint.requests[0]
    assert [(message["role"], message["content"]) for message in asked["messages"]] == [
        ("system", "Be brief."), ("user", "Name a colour."), ("assistant", "Red."), ("user", "Another."),
    ]  # fmt: skip
    assert asked["max_tokens"] == 50


async def test_no_request_gets_more_tokens_than_the_model_is_bound_to(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Blue.")
    await collect(await generator_of(start_generator, endpoint, OPENAI__ANSWER_TOKENS="64"), max_tokens=9000)
    assert endpoint.requests[0]["max_tokens"] == 64


async def test_a_schema_binds_the_model_and_the_text_comes_in_one_piece(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("```json\n", '{"days"', ": 26}", "\n```")
    events = await collect(await generator_of(start_generator, endpoint), json_schema=SCHEMA)
    assert [event.delta.text for event in events[:-1]] == ['{"days": 26}']
    assert endpoint.requests[0]["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)


async def test_a_text_that_misses_its_schema_is_asked_for_again_with_what_was_wrong(
    start_generator: StartGenerator, endpoint: Endpoint
) -> None:
    endpoint.says('{"days": "many"}')
    endpoint.says('{"days": 26}')
    events = await collect(await generator_of(start_generator, endpoint), json_schema=SCHEMA)
    assert text_of(events) == '{"days": 26}'
    assert events[-1].complete.usage.prompt_tokens == 420
    again = endpoint.requests[1]["messages"]
    assert again[:-2] == endpoint.requests[0]["messages"]
    assert again[-2] == {"role": "assistant", "content": '{"days": "many"}'}
    assert "'days'" in again[-1]["content"]
    assert SCHEMA in again[-1]["content"]


async def test_a_model_that_keeps_missing_its_schema_is_an_error_without_its_text(
    start_generator: StartGenerator, endpoint: Endpoint
) -> None:
    for _ in range(3):
        endpoint.says("secret words")
    error = await error_of(await generator_of(start_generator, endpoint), json_schema=SCHEMA)
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, "MODEL_OUTPUT_INVALID")
    assert "secret" not in error.message
    assert not endpoint.replies


async def test_json_that_is_cut_by_the_length_limit_is_not_asked_for_again(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says('{"da', finish="length")
    error = await error_of(await generator_of(start_generator, endpoint), json_schema=SCHEMA)
    assert error.reason == "MODEL_OUTPUT_CUT"
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "schema",
    [
        "{not json",
        "7",
        '{"type": "strin"}',
        '{"$ref": "http://127.0.0.1:1/schema.json"}',
        '{"$ref": "file:///etc/passwd"}',
        '{"$ref": "#/$defs/missing"}',
        '{"type": "string", "pattern": "^(?=a)"}',
        "[" * 19_000,
        '{"items":' * 2000 + "{}" + "}" * 2000,
        json.dumps({"description": "x" * 20_000}),
        # Each part stands twice in the one before: forty of them unfold to a million million.
        json.dumps(
            {
                "$ref": "#/$defs/0",
                "$defs": {
                    "40": {},
                    **{str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}, {"$ref": f"#/$defs/{n + 1}"}]} for n in range(40)},
                },
            }
        ),
    ],
)
async def test_a_schema_that_cannot_be_used_is_refused_before_the_model_is_asked(
    start_generator: StartGenerator, endpoint: Endpoint, schema: str
) -> None:
    error = await error_of(await generator_of(start_generator, endpoint), json_schema=schema)
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, "JSON_SCHEMA_INVALID")
    assert not endpoint.requests


async def test_a_schema_may_lead_back_to_itself(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["children"]}
    endpoint.says('{"children": [{"children": []}]}')
    events = await collect(await generator_of(start_generator, endpoint), json_schema=json.dumps(tree))
    assert text_of(events) == '{"children": [{"children": []}]}'


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": []}, "LAST_MESSAGE_NOT_USERS"),
        ({"messages": TURNS[:3]}, "LAST_MESSAGE_NOT_USERS"),
        ({"messages": [generation_pb2.Turn(text="Who?")]}, "TURN_ROLE_MISSING"),
        ({"messages": [generation_pb2.Turn(role=USER, text=" ")]}, "EMPTY_MESSAGES"),
        ({"messages": [generation_pb2.Turn(role=USER, text="x" * 1_000_001)]}, "MESSAGES_TOO_LONG"),
        ({"messages": [generation_pb2.Turn(role=USER, text="x" * 30_000)]}, "MESSAGES_TOO_LONG"),
    ],
)
async def test_messages_that_cannot_be_continued_are_refused(
    start_generator: StartGenerator, endpoint: Endpoint, fields: dict[str, object], reason: str
) -> None:
    error = await error_of(await generator_of(start_generator, endpoint), **fields)
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, reason)
    assert not endpoint.requests


async def test_the_extractive_engine_completes_nothing(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    error = await error_of(stub)
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, "MODEL_CANNOT_COMPLETE")
    listed = await stub.ListModels(generation_pb2.ListModelsRequest(), timeout=20)
    assert [(model.name, model.completes, model.context_tokens) for model in listed.models] == [("extractive", False, 0)]


async def test_a_caller_who_leaves_stops_the_model(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([delta("Blue")], then="hang"))
    call = (await generator_of(start_generator, endpoint)).Complete(generation_pb2.CompleteRequest(messages=TURNS), timeout=20)
    assert (await anext(aiter(call))).delta.text == "Blue"
    call.cancel()
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)


async def test_a_model_takes_no_more_texts_at_once_than_it_is_bound_to(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([delta("Blue")], then="hang"))
    stub = await generator_of(start_generator, endpoint, OPENAI__MAX_CONCURRENT="1")
    call = stub.Complete(generation_pb2.CompleteRequest(messages=TURNS), timeout=20)
    await anext(aiter(call))
    error = await error_of(stub)
    assert (error.status, error.reason) == (Status.RESOURCE_EXHAUSTED, "MODEL_BUSY")
    assert error.retry_after_seconds
    assert "LECTERN_GENERATOR_OPENAI__MAX_CONCURRENT" in error.message
    call.cancel()
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)


async def test_tokens_of_a_model_that_is_out_of_reach_are_an_upper_estimate(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    stub = await generator_of(start_generator, endpoint)
    for model in ("", "extractive"):
        counted = await stub.CountTokens(generation_pb2.CountTokensRequest(texts=["", "six words of some English text"], model=model))
        assert not counted.exact
        assert counted.counts[0] == 0
        assert counted.counts[1] >= 6


async def test_only_so_many_texts_are_counted_at_once(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.CountTokens(generation_pb2.CountTokensRequest(texts=["x"] * 1001), timeout=20)
    assert from_rpc_error(raised.value).reason == "TOO_MANY_TEXTS"
