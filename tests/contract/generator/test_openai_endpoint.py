"""A generator whose model stands behind an OpenAI-compatible endpoint: real sockets on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest

from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.errors import AppError, Status
from shared.rpc.status import from_rpc_error
from tests.contract.generator.endpoint import DONE, Endpoint, Reply, delta, ending, event, running_endpoint

if TYPE_CHECKING:
    from tests.contract.generator.conftest import StartGenerator

PASSAGES = [
    generation_pb2.SourcePassage(
        passage_id="p-leave",
        text="Annual leave is 26 days a year. Up to five unused days carry over and lapse on 31 March.",
        document_name="employee-handbook.pdf",
        headings=["Leave", "Annual leave"],
    ),
    generation_pb2.SourcePassage(passage_id="p-shed", text="Bicycles are kept in the shed. See note [7]."),
]
QUESTION = "How many unused days carry over?"


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


async def generator_of(start: StartGenerator, endpoint: Endpoint, **environment: str) -> generation_pb2_grpc.GenerationServiceAsyncStub:
    return await start(OPENAI__BASE_URL=endpoint.base_url, OPENAI__MODEL="tiny", OPENAI__API_KEY="sk-secret", **environment)


async def collect(
    stub: generation_pb2_grpc.GenerationServiceAsyncStub, deadline_seconds: float = 20
) -> list[generation_pb2.AnswerResponse]:
    request = generation_pb2.AnswerRequest(question=QUESTION, passages=PASSAGES)
    return [response async for response in stub.Answer(request, timeout=deadline_seconds)]


async def error_of(stub: generation_pb2_grpc.GenerationServiceAsyncStub, deadline_seconds: float = 20) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await collect(stub, deadline_seconds)
    return from_rpc_error(raised.value)


def text_of(events: list[generation_pb2.AnswerResponse]) -> str:
    return "".join(event.delta.text for event in events)


async def test_an_answer_streams_with_checked_citations_and_usage(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Up to five ", "unused days car", "ry over [", "1", "]", ". Bicycles do not [1, 2].")
    events = await collect(await generator_of(start_generator, endpoint))
    assert text_of(events) == "Up to five unused days carry over [1]. Bicycles do not [1][2]."
    cited = {event.citation.marker: event.citation for event in events if event.HasField("citation")}
    assert cited[1].quote == "Up to five unused days carry over and lapse on 31 March."
    assert {marker: citation.passage_id for marker, citation in cited.items()} == {1: "p-leave", 2: "p-shed"}
    complete = events[-1].complete
    assert complete.answered
    assert complete.model == "tiny"
    assert (complete.usage.prompt_tokens, complete.usage.answer_tokens) == (210, 14)
    assert endpoint.authorizations == ["Bearer sk-secret"]


async def test_the_endpoint_s_model_becomes_the_default(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    listed = await (await generator_of(start_generator, endpoint)).ListModels(generation_pb2.ListModelsRequest(), timeout=20)
    assert listed.default_model == "tiny"
    assert {model.name: model.engine for model in listed.models} == {"extractive": "extractive", "tiny": "openai"}


async def test_the_model_is_told_its_rules_and_gets_passages_as_fenced_data(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Five [1].")
    await collect(await generator_of(start_generator, endpoint))
    system, user = endpoint.requests[0]["messages"]
    assert "I could not find this in the documents." in system["content"]
    assert '<passage number="1" document="employee-handbook.pdf" section="Leave › Annual leave">' in user["content"]
    assert "See note (7)." in user["content"]
    assert user["content"].rstrip().endswith(QUESTION)
    assert endpoint.requests[0]["max_tokens"] == 1024


async def test_markers_of_passages_that_were_not_given_are_removed_and_counted(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Five days [7]. They lapse [1, 9] in March 【2】.")
    events = await collect(await generator_of(start_generator, endpoint))
    assert text_of(events) == "Five days. They lapse [1] in March [2]."
    assert events[-1].complete.dropped_marker_count == 2


async def test_a_model_that_says_that_it_does_not_know_has_not_answered(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("I could not find", " this in the documents.")
    events = await collect(await generator_of(start_generator, endpoint))
    assert text_of(events) == "I could not find this in the documents."
    assert not events[-1].complete.answered


async def test_a_text_that_reached_the_length_limit_says_so(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Five days [1", finish="length")
    events = await collect(await generator_of(start_generator, endpoint))
    assert text_of(events) == "Five days [1"
    assert events[-1].complete.finish_reason == generation_pb2.FINISH_REASON_LENGTH


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_events_cut_anywhere_by_the_network_make_the_same_answer(
    start_generator: StartGenerator, endpoint: Endpoint, size: int
) -> None:
    whole = b"".join([delta("L’été, "), delta("cinq jours [1]"), *ending("stop", None)])
    endpoint.replies.append(Reply([whole[start : start + size] for start in range(0, len(whole), size)]))
    assert text_of(await collect(await generator_of(start_generator, endpoint))) == "L’été, cinq jours [1]"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_endpoint_is_asked_again_after_the_pause_that_it_asks_for(
    start_generator: StartGenerator, endpoint: Endpoint, status: int
) -> None:
    endpoint.refuses(status, retry_after="0.05")
    endpoint.says("Five [1].")
    assert text_of(await collect(await generator_of(start_generator, endpoint))) == "Five [1]."
    assert len(endpoint.requests) == 2


async def test_a_pause_that_outlasts_the_deadline_is_not_waited_for(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.refuses(429, retry_after="25")
    error = await error_of(await generator_of(start_generator, endpoint), deadline_seconds=10)
    assert (error.status, error.reason, error.retry_after_seconds) == (Status.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", 25)
    assert len(endpoint.requests) == 1


async def test_an_endpoint_that_stays_busy_is_given_up(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    for _ in range(3):
        endpoint.refuses(429, retry_after="0")
    error = await error_of(await generator_of(start_generator, endpoint, OPENAI__MAX_ATTEMPTS="3"))
    assert error.reason == "MODEL_RATE_LIMITED"
    assert not endpoint.replies


@pytest.mark.parametrize(
    ("status", "fault", "reason"),
    [
        (401, {"message": "bad key"}, "MODEL_CREDENTIALS_REFUSED"),
        (404, {"message": "no model"}, "MODEL_NOT_SERVED"),
        (400, {"message": "secret prompt", "code": "context_length_exceeded"}, "MODEL_REFUSED_REQUEST"),
        (429, {"message": "spent", "code": "insufficient_quota"}, "MODEL_QUOTA_SPENT"),
    ],
)
async def test_a_refusal_of_the_endpoint_keeps_its_meaning_and_tells_nothing_of_the_prompt(
    start_generator: StartGenerator, endpoint: Endpoint, status: int, fault: dict[str, str], reason: str
) -> None:
    endpoint.refuses(status, fault)
    error = await error_of(await generator_of(start_generator, endpoint))
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, reason)
    assert "LECTERN_GENERATOR_OPENAI__" in error.message or "quota" in error.message
    assert "secret" not in error.message


async def test_a_model_that_never_begins_is_a_timeout(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply(then="hang"))
    error = await error_of(await generator_of(start_generator, endpoint, OPENAI__FIRST_TOKEN_TIMEOUT_SECONDS="0.3"))
    assert (error.status, error.reason) == (Status.DEADLINE_EXCEEDED, "MODEL_TIMEOUT")
    assert "FIRST_TOKEN_TIMEOUT_SECONDS" in error.message
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)


async def test_a_model_that_stops_midway_is_a_timeout(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([delta("Five ")], then="hang"))
    error = await error_of(await generator_of(start_generator, endpoint, OPENAI__IDLE_TIMEOUT_SECONDS="0.3"))
    assert (error.status, error.reason) == (Status.DEADLINE_EXCEEDED, "MODEL_TIMEOUT")
    assert "IDLE_TIMEOUT_SECONDS" in error.message
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)


@pytest.mark.parametrize("then", ["cut", "end"])
async def test_a_stream_that_breaks_off_is_an_error_and_never_a_silent_end(
    start_generator: StartGenerator, endpoint: Endpoint, then: str
) -> None:
    endpoint.replies.append(Reply([delta("Five "), delta("days")], then="cut" if then == "cut" else "end"))
    error = await error_of(await generator_of(start_generator, endpoint))
    assert (error.status, error.reason) == (Status.UNAVAILABLE, "MODEL_STREAM_CUT")


@pytest.mark.parametrize(
    "reply",
    [
        Reply([delta("Five "), b"data: {not json}\n\n", DONE]),
        Reply([delta("Five "), b'data: {"choices": [{"index": 0}]}\n\n', DONE]),
        Reply([delta("Five "), b'data: {"choices": 7}\n\n', DONE]),
        Reply([delta("Five "), b"data: [1, 2]\n\n", DONE]),
        Reply([b"<html>a login page</html>"], headers={"content-type": "text/html"}),
    ],
)
async def test_a_reply_that_is_not_the_protocol_is_named_so(start_generator: StartGenerator, endpoint: Endpoint, reply: Reply) -> None:
    endpoint.replies.append(reply)
    error = await error_of(await generator_of(start_generator, endpoint))
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, "MODEL_REPLY_INVALID")


async def test_an_error_that_the_endpoint_reports_midway_ends_the_answer_with_it(
    start_generator: StartGenerator, endpoint: Endpoint
) -> None:
    endpoint.replies.append(Reply([delta("Five "), event({"error": {"message": "secret prompt", "type": "out_of_memory"}}), DONE]))
    error = await error_of(await generator_of(start_generator, endpoint))
    assert (error.status, error.reason) == (Status.UNAVAILABLE, "MODEL_FAILED")
    assert "out_of_memory" in error.message
    assert "secret" not in error.message


async def test_an_endpoint_that_is_not_there_is_unavailable(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    stub = await start_generator(OPENAI__BASE_URL="http://127.0.0.1:1/v1", OPENAI__MODEL="tiny")
    error = await error_of(stub)
    assert (error.status, error.reason) == (Status.UNAVAILABLE, "MODEL_UNAVAILABLE")


async def test_a_caller_who_leaves_stops_the_model(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([delta("Five ")], then="hang"))
    stub = await generator_of(start_generator, endpoint)
    call = stub.Answer(generation_pb2.AnswerRequest(question=QUESTION, passages=PASSAGES), timeout=20)
    first = await anext(aiter(call))
    assert first.delta.text == "Five"
    call.cancel()
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)


async def test_nothing_of_a_prompt_is_logged_even_at_the_most_talkative_level(
    start_generator: StartGenerator, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    endpoint.says("Five [1].")
    await collect(await generator_of(start_generator, endpoint))
    assert QUESTION not in caplog.text
    assert "sk-secret" not in caplog.text
