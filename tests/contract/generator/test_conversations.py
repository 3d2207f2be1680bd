"""Condense and SuggestTitle over a socket, with a model behind an endpoint and with none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from lectern.generator.v1 import generation_pb2 as pb
from lectern.generator.v1 import generation_pb2_grpc
from shared.errors import Status
from shared.rpc.status import from_rpc_error
from tests.contract.generator.endpoint import Endpoint, Reply, delta, running_endpoint

if TYPE_CHECKING:
    Stub = generation_pb2_grpc.GenerationServiceAsyncStub
    StartGenerator = Callable[..., Awaitable[Stub]]

HISTORY = [
    pb.Turn(role=pb.TURN_ROLE_USER, text="How many days of annual leave do employees have?"),
    pb.Turn(role=pb.TURN_ROLE_ASSISTANT, text="26 days a year [1]."),
]
CONDENSE = pb.CondenseRequest(question="And for interns?", history=HISTORY)
BY_RULE = "And for interns? (days annual leave employees)"
TITLE = pb.SuggestTitleRequest(question="How many days of annual leave do employees have?", answer="26 days a year [1].")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


async def generator_of(start: StartGenerator, endpoint: Endpoint) -> Stub:
    return await start(OPENAI__BASE_URL=endpoint.base_url, OPENAI__MODEL="tiny")


async def test_without_a_language_model_questions_are_condensed_and_named_by_rules(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    assert (await stub.Condense(CONDENSE, timeout=20)).question == BY_RULE
    alone = pb.CondenseRequest(question="Where is the workshop?", history=HISTORY)
    assert (await stub.Condense(alone, timeout=20)).question == "Where is the workshop?"
    assert (await stub.SuggestTitle(TITLE, timeout=20)).title == "How many days of annual leave do employees have"


async def test_a_language_model_condenses_with_the_conversation_before_it(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("How many days of annual leave ", "do interns have?")
    response = await (await generator_of(start_generator, endpoint)).Condense(CONDENSE, timeout=20)
    assert response.question == "How many days of annual leave do interns have?"
    assert (response.usage.prompt_tokens, response.usage.answer_tokens) == (210, 14)
    told = endpoint.requests[0]["messages"]
    assert [message["role"] for message in told] == ["system", "user"]
    assert "User: How many days of annual leave do employees have?\nAssistant: 26 days a year." in told[1]["content"]


async def test_a_language_model_names_a_conversation(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says('"Annual leave', ' of employees."')
    response = await (await generator_of(start_generator, endpoint)).SuggestTitle(TITLE, timeout=20)
    assert response.title == "Annual leave of employees"
    assert response.usage.answer_tokens == 14


@pytest.mark.parametrize(
    "reply",
    [
        Reply([delta("How many")], then="cut"),
        Reply([b"{}"], 500, {"content-type": "application/json"}),
        Reply([b"data: nonsense\n\n"]),
        Reply([delta("One line.\nAnd another.")]),
    ],
    ids=["cut", "failed", "not the protocol", "without an end"],
)
async def test_a_model_s_failure_fails_neither_a_question_nor_a_title(
    start_generator: StartGenerator, endpoint: Endpoint, reply: Reply
) -> None:
    endpoint.replies.extend([reply, reply])
    stub = await generator_of(start_generator, endpoint)
    assert (await stub.Condense(CONDENSE, timeout=20)).question == BY_RULE
    assert (await stub.SuggestTitle(TITLE, timeout=20)).title == "How many days of annual leave do employees have"


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (pb.CondenseRequest(question=" ", history=HISTORY), Status.INVALID_ARGUMENT, "EMPTY_QUESTION"),
        (pb.CondenseRequest(question="x" * 4001), Status.INVALID_ARGUMENT, "QUESTION_TOO_LONG"),
        (pb.CondenseRequest(question="Why?", history=[pb.Turn(text="Who?")]), Status.INVALID_ARGUMENT, "TURN_ROLE_MISSING"),
        (pb.CondenseRequest(question="Why?", model="gpt-9"), Status.NOT_FOUND, "MODEL_NOT_FOUND"),
    ],
)
async def test_a_request_that_is_wrong_is_refused_with_its_reason(
    start_generator: StartGenerator, request_: pb.CondenseRequest, status: Status, reason: str
) -> None:
    stub = await start_generator()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Condense(request_, timeout=20)
    error = from_rpc_error(refused.value)
    assert (error.status, error.reason) == (status, reason)
