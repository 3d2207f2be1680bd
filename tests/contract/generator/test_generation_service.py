"""GenerationService over a socket, with the extractive engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import grpc
import pytest
from prometheus_client import REGISTRY

from generator.server import serve
from generator.settings import GeneratorSettings
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.errors import Status
from shared.rpc.probe import is_serving
from shared.rpc.status import from_rpc_error

if TYPE_CHECKING:
    # The asynchronous stub is a name of the typed stubs alone.
    StartGenerator = Callable[..., Awaitable[generation_pb2_grpc.GenerationServiceAsyncStub]]

LEAVE = generation_pb2.SourcePassage(
    passage_id="p-leave",
    text="Annual leave is 26 days a year. Up to five unused days carry over and lapse on 31 March.",
    document_name="employee-handbook.pdf",
    headings=["Leave"],
    score=0.9,
)
PARKING = generation_pb2.SourcePassage(passage_id="p-parking", text="Bicycles are kept in the shed behind the workshop.", score=0.4)


async def collect(stub: generation_pb2_grpc.GenerationServiceAsyncStub, **fields: object) -> list[generation_pb2.AnswerResponse]:
    return [response async for response in stub.Answer(generation_pb2.AnswerRequest(**fields), timeout=20)]  # type: ignore[arg-type]


async def test_an_answer_quotes_the_passage_that_holds_it(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    events = await collect(stub, question="How many unused days of annual leave carry over?", passages=[PARKING, LEAVE])
    text = "".join(event.delta.text for event in events)
    citations = [event.citation for event in events if event.HasField("citation")]
    assert "Up to five unused days carry over and lapse on 31 March." in text
    assert "[1]" in text
    assert [citation.passage_id for citation in citations] == ["p-leave"]
    assert LEAVE.text[citations[0].start : citations[0].end] == citations[0].quote
    assert events[-1].complete.answered
    assert events[-1].complete.model == "extractive"
    assert events[-1].complete.finish_reason == generation_pb2.FINISH_REASON_STOP


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"question": "  "}, Status.INVALID_ARGUMENT, "EMPTY_QUESTION"),
        ({"question": "x" * 9000}, Status.INVALID_ARGUMENT, "QUESTION_TOO_LONG"),
        ({"question": "When?", "language": "French"}, Status.INVALID_ARGUMENT, "LANGUAGE_INVALID"),
        ({"question": "When?", "passages": [LEAVE, LEAVE]}, Status.INVALID_ARGUMENT, "DUPLICATE_PASSAGE_ID"),
        ({"question": "When?", "passages": [generation_pb2.SourcePassage(text="x")]}, Status.INVALID_ARGUMENT, "EMPTY_PASSAGE_ID"),
        (
            {"question": "When?", "passages": [generation_pb2.SourcePassage(passage_id=str(number)) for number in range(201)]},
            Status.INVALID_ARGUMENT,
            "TOO_MANY_PASSAGES",
        ),
        ({"question": "When?", "model": "gpt-9"}, Status.NOT_FOUND, "MODEL_NOT_FOUND"),
    ],
)
async def test_a_request_that_cannot_be_answered_is_refused_with_its_reason(
    start_generator: StartGenerator, fields: dict[str, object], status: Status, reason: str
) -> None:
    stub = await start_generator()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await collect(stub, **fields)
    error = from_rpc_error(refused.value)
    assert (error.status, error.reason) == (status, reason)


async def test_an_unknown_model_is_answered_with_the_names_of_the_known_ones(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await collect(stub, question="When?", model="gpt-9")
    assert from_rpc_error(refused.value).metadata["models"] == "extractive"


async def test_no_passages_make_an_answer_that_says_so(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    events = await collect(stub, question="Quand ferme le site ?")
    assert "".join(event.delta.text for event in events) == "Je n'ai pas trouvé cette information dans les documents."
    assert not events[-1].complete.answered


async def test_models_are_listed_with_the_default(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    listed = await stub.ListModels(generation_pb2.ListModelsRequest(), timeout=20)
    assert [(model.name, model.engine) for model in listed.models] == [("extractive", "extractive")]
    assert listed.default_model == "extractive"


async def test_a_generator_is_healthy_by_the_name_of_its_service_while_it_runs(
    internal_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTERN_INTERNAL_KEY", internal_key.hex())
    monkeypatch.setenv("LECTERN_GENERATOR_LISTEN", "127.0.0.1:0")
    async with serve(GeneratorSettings()) as running:
        target = f"127.0.0.1:{running.port}"
        async with grpc.aio.insecure_channel(target) as channel:
            assert await is_serving(channel, "lectern.generator.v1.GenerationService")
    async with grpc.aio.insecure_channel(target) as channel:
        assert not await is_serving(channel)


async def test_answers_are_counted_by_model_and_outcome(start_generator: StartGenerator) -> None:
    stub = await start_generator()
    sample = ("lectern_generator_answers_ended_total", {"model": "extractive", "outcome": "not_answered"})
    before = REGISTRY.get_sample_value(*sample) or 0.0
    await collect(stub, question="Who won the cup?", passages=[LEAVE])
    assert REGISTRY.get_sample_value(*sample) == before + 1
    assert REGISTRY.get_sample_value("lectern_generator_answers_in_flight") == 0
