"""What every engine keeps, whatever it runs on: one suite over all of them, through a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.errors import Status
from shared.rpc.status import from_rpc_error
from tests.contract.generator.endpoint import Reply, delta, running_endpoint

if TYPE_CHECKING:
    from tests.contract.generator.conftest import StartGenerator

    Stub = generation_pb2_grpc.GenerationServiceAsyncStub
    StartEngine = Callable[..., Awaitable[Stub]]

PASSAGES = [
    generation_pb2.SourcePassage(passage_id="leave", text="Annual leave is 26 days a year. Up to five unused days carry over.", score=0.9),
    generation_pb2.SourcePassage(passage_id="été", text="Les congés d’été 🌞 sont de dix jours. Ils se posent en mars.", score=0.5),
]
QUESTION = "How many unused days carry over?"


@pytest.fixture(params=["extractive", "openai"])
async def start_engine(request: pytest.FixtureRequest, start_generator: StartGenerator) -> AsyncIterator[StartEngine]:
    """Starts a generator whose default model is of the engine under test and answers ``QUESTION`` from the first passage."""
    async with running_endpoint() as endpoint:

        async def start(**environment: str) -> Stub:
            if request.param == "extractive":
                return await start_generator(**environment)
            for _ in range(3):
                endpoint.says("Up to five unused ", "days carry over [1", "][2].")
            return await start_generator(OPENAI__BASE_URL=endpoint.base_url, OPENAI__MODEL="tiny", **environment)

        yield start


def answer(stub: Stub, **fields: object) -> grpc.aio.UnaryStreamCall[generation_pb2.AnswerRequest, generation_pb2.AnswerResponse]:
    request = generation_pb2.AnswerRequest(**{"question": QUESTION, "passages": PASSAGES, **fields})  # type: ignore[arg-type]
    return stub.Answer(request, timeout=20)


async def test_an_answer_is_deltas_and_citations_and_then_exactly_one_complete(start_engine: StartEngine) -> None:
    events = [event async for event in answer(await start_engine())]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds.count("complete") == 1
    assert kinds[-1] == "complete"
    assert {"delta", "citation"} <= set(kinds)
    complete = events[-1].complete
    assert complete.answered
    assert complete.finish_reason == generation_pb2.FINISH_REASON_STOP
    assert 0 < complete.timings.first_delta.ToNanoseconds() <= complete.timings.total.ToNanoseconds()


async def test_every_citation_follows_its_marker_and_quotes_its_passage_truly(start_engine: StartEngine) -> None:
    texts = {passage.passage_id: passage.text for passage in PASSAGES}
    written = ""
    cited = []
    async for event in answer(await start_engine()):
        written += event.delta.text
        if event.HasField("citation"):
            citation = event.citation
            cited.append(citation.marker)
            assert f"[{citation.marker}]" in written
            assert texts[citation.passage_id][citation.start : citation.end] == citation.quote != ""
    assert cited
    assert len(cited) == len(set(cited))


async def test_without_passages_the_answer_says_that_nothing_was_found(start_engine: StartEngine) -> None:
    events = [event async for event in answer(await start_engine(), passages=[], language="fr")]
    assert "".join(event.delta.text for event in events) == "Je n'ai pas trouvé cette information dans les documents."
    assert not events[-1].complete.answered


async def test_a_caller_who_leaves_frees_the_place_of_his_answer(start_engine: StartEngine) -> None:
    stub = await start_engine(MAX_CONCURRENT_ANSWERS="1")
    call = answer(stub)
    await anext(aiter(call))
    call.cancel()
    refusals: set[str] = set()
    async with asyncio.timeout(10):
        while True:
            try:
                events = [event async for event in answer(stub)]
            except grpc.aio.AioRpcError as error:
                refusals.add(from_rpc_error(error).reason)
            else:
                break
    assert refusals <= {"GENERATOR_BUSY"}
    assert events[-1].complete.answered


async def test_one_answer_more_than_allowed_is_refused_with_a_time_to_come_back(start_generator: StartGenerator) -> None:
    async with running_endpoint() as endpoint:
        endpoint.replies.append(Reply([delta("Five ")], then="hang"))
        stub = await start_generator(OPENAI__BASE_URL=endpoint.base_url, OPENAI__MODEL="tiny", MAX_CONCURRENT_ANSWERS="1")
        call = answer(stub)
        await anext(aiter(call))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(answer(stub)))
        error = from_rpc_error(refused.value)
        assert (error.status, error.reason) == (Status.RESOURCE_EXHAUSTED, "GENERATOR_BUSY")
        assert error.retry_after_seconds
        call.cancel()
        await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)
