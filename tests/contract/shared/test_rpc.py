"""The RPC mechanism over a real socket, with the health service's neighbours as guinea pigs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.caller import Caller, current_caller
from shared.errors import AppError, FieldViolation, Status
from shared.request_id import bind_request_id, current_request_id
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel, peer_errors
from shared.rpc.deadline import time_remaining
from shared.rpc.probe import is_serving
from shared.rpc.server import ServiceServer
from shared.rpc.status import INTERNAL_MESSAGE, from_rpc_error, to_rpc_status

SERVICE = "lectern.generator.v1.GenerationService"
CALLER = Caller("org-1", "key:k1")


class EchoServicer(generation_pb2_grpc.GenerationServiceServicer):
    """Answers with what it knows of the call; ``raises`` makes it fail."""

    # As generated: not implemented.
    Condense = generation_pb2_grpc.GenerationServiceServicer.Condense
    SuggestTitle = generation_pb2_grpc.GenerationServiceServicer.SuggestTitle
    Complete = generation_pb2_grpc.GenerationServiceServicer.Complete
    CountTokens = generation_pb2_grpc.GenerationServiceServicer.CountTokens

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.calls = 0
        self.cancelled = asyncio.Event()
        self.waiting = asyncio.Event()

    async def ListModels(
        self,
        request: generation_pb2.ListModelsRequest,
        context: grpc.aio.ServicerContext[generation_pb2.ListModelsRequest, generation_pb2.ListModelsResponse],
    ) -> generation_pb2.ListModelsResponse:
        self.calls += 1
        if self.raises is not None:
            raise self.raises
        facts = {"organisation": current_caller().organisation_id, "request_id": current_request_id(), "remaining": time_remaining()}
        return generation_pb2.ListModelsResponse(default_model=json.dumps(facts))

    async def Answer(
        self,
        request: generation_pb2.AnswerRequest,
        context: grpc.aio.ServicerContext[generation_pb2.AnswerRequest, generation_pb2.AnswerResponse],
    ) -> AsyncIterator[generation_pb2.AnswerResponse]:
        yield generation_pb2.AnswerResponse(delta=generation_pb2.AnswerDelta(text="first"))
        if self.raises is not None:
            raise self.raises
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture
def echo() -> EchoServicer:
    return EchoServicer()


@pytest.fixture
async def server(signer: CallerSigner, echo: EchoServicer) -> AsyncIterator[ServiceServer]:
    server = ServiceServer("example", signer=signer, service_names=[SERVICE])
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(echo, server.grpc_server)
    await server.start("127.0.0.1:0")
    yield server
    await server.stop(grace_seconds=0)


@pytest.fixture
async def stub(server: ServiceServer, signer: CallerSigner) -> AsyncIterator[generation_pb2_grpc.GenerationServiceAsyncStub]:
    async with open_channel(f"127.0.0.1:{server.port}", signer) as channel:
        yield generation_pb2_grpc.GenerationServiceStub(channel)


async def test_request_id_caller_and_remaining_time_reach_the_handler(stub: generation_pb2_grpc.GenerationServiceAsyncStub) -> None:
    bind_request_id("from-http")
    with acting_for(CALLER):
        response = await stub.ListModels(generation_pb2.ListModelsRequest(), timeout=5)
    facts = json.loads(response.default_model)
    assert facts["organisation"] == "org-1"
    assert facts["request_id"] == "from-http"
    assert 0 < facts["remaining"] <= 5


async def test_a_call_without_a_signature_is_refused(server: ServiceServer, echo: EchoServicer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await generation_pb2_grpc.GenerationServiceStub(channel).ListModels(generation_pb2.ListModelsRequest())
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert echo.calls == 0


async def test_an_app_error_arrives_whole(stub: generation_pb2_grpc.GenerationServiceAsyncStub, echo: EchoServicer) -> None:
    sent = AppError(
        "EXAMPLE_BUSY",
        Status.RESOURCE_EXHAUSTED,
        "Try later.",
        {"queue": "bulk"},
        (FieldViolation("texts", "Fewer."),),
        retry_after_seconds=1.5,
    )
    echo.raises = sent
    with acting_for(CALLER), pytest.raises(AppError) as raised, peer_errors("example"):
        await stub.ListModels(generation_pb2.ListModelsRequest())
    assert raised.value == sent


async def test_an_unexpected_error_tells_nothing_of_itself(
    stub: generation_pb2_grpc.GenerationServiceAsyncStub, echo: EchoServicer
) -> None:
    echo.raises = RuntimeError("password=hunter2")
    with acting_for(CALLER), pytest.raises(AppError) as raised, peer_errors("example"):
        await stub.ListModels(generation_pb2.ListModelsRequest())
    assert raised.value.status is Status.INTERNAL
    assert raised.value.message == INTERNAL_MESSAGE


async def test_an_error_in_mid_stream_ends_the_stream_with_its_status(
    stub: generation_pb2_grpc.GenerationServiceAsyncStub, echo: EchoServicer
) -> None:
    echo.raises = AppError("MODEL_TIMEOUT", Status.DEADLINE_EXCEEDED, "Too slow.")
    texts = []
    with acting_for(CALLER), pytest.raises(AppError) as raised, peer_errors("example"):
        async for response in stub.Answer(generation_pb2.AnswerRequest()):
            texts.append(response.delta.text)  # noqa: PERF401  # what came before the error is the point
    assert texts == ["first"]
    assert raised.value.reason == "MODEL_TIMEOUT"


async def test_a_client_that_leaves_cancels_the_handler(stub: generation_pb2_grpc.GenerationServiceAsyncStub, echo: EchoServicer) -> None:
    with acting_for(CALLER):
        call = stub.Answer(generation_pb2.AnswerRequest())
        assert (await anext(aiter(call))).delta.text == "first"
        await asyncio.wait_for(echo.waiting.wait(), 5)
        call.cancel()
        await asyncio.wait_for(echo.cancelled.wait(), 5)


async def test_only_unavailable_is_retried(stub: generation_pb2_grpc.GenerationServiceAsyncStub, echo: EchoServicer) -> None:
    for status, calls in ((Status.UNAVAILABLE, 4), (Status.RESOURCE_EXHAUSTED, 1), (Status.INVALID_ARGUMENT, 1)):
        echo.calls, echo.raises = 0, AppError("EXAMPLE", status, "No.")
        with acting_for(CALLER), pytest.raises(AppError), peer_errors("example"):
            await stub.ListModels(generation_pb2.ListModelsRequest())
        assert echo.calls == calls, status


async def test_a_peer_that_is_not_there_is_named(signer: CallerSigner) -> None:
    async with open_channel("127.0.0.1:1", signer) as channel:
        with acting_for(CALLER), pytest.raises(AppError) as raised, peer_errors("embedder"):
            await generation_pb2_grpc.GenerationServiceStub(channel).ListModels(generation_pb2.ListModelsRequest(), timeout=5)
    assert raised.value.reason == "EMBEDDER_UNAVAILABLE"


async def test_health_is_not_serving_until_the_service_says_so_and_after_it_stops(server: ServiceServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert [await is_serving(channel, name) for name in ("", SERVICE)] == [False, False]
        await server.health.set_serving(True)
        assert [await is_serving(channel, name) for name in ("", SERVICE)] == [True, True]
        await server.health.shut_down()
        await server.health.set_serving(True)
        assert [await is_serving(channel, name) for name in ("", SERVICE)] == [False, False]


async def test_who_watches_the_health_hears_of_the_end_and_does_not_hold_it_up(server: ServiceServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # the stub's methods are made at run time
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await server.health.set_serving(True)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        async with asyncio.timeout(5):
            await server.stop(grace_seconds=60)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF


async def test_nobody_at_the_address_is_not_serving() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        assert not await is_serving(channel)


async def test_a_port_that_is_taken_is_an_error_that_names_it(server: ServiceServer, signer: CallerSigner) -> None:
    second = ServiceServer("second", signer=signer, service_names=[SERVICE])
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
        await second.start(f"127.0.0.1:{server.port}")
    await second.stop(grace_seconds=0)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_wire_code_and_comes_back(status: Status) -> None:
    wire = to_rpc_status(AppError("R", status, "m", retry_after_seconds=2))
    assert wire.code is grpc.StatusCode[status.name]
    assert code_pb2.Code.Value(status.name) == wire.code.value[0]
    metadata = grpc.aio.Metadata(*wire.trailing_metadata)
    error = grpc.aio.AioRpcError(wire.code, grpc.aio.Metadata(), metadata, wire.details)
    assert from_rpc_error(error) == AppError("R", status, "m", retry_after_seconds=2)


def test_details_stay_under_their_limit_and_keep_the_reason() -> None:
    error = AppError("LONG", Status.INVALID_ARGUMENT, "m" * 5000, {"k": "v" * 9000}, (FieldViolation("f", "d" * 9000),))
    wire = to_rpc_status(error)
    assert sum(len(value) for _, value in wire.trailing_metadata) <= 4096
    assert from_rpc_error(grpc.aio.AioRpcError(wire.code, grpc.aio.Metadata(), grpc.aio.Metadata(*wire.trailing_metadata))).reason == "LONG"
