"""Models that a request brings: where they may be, what is kept of them, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import TYPE_CHECKING

import grpc
import pytest
from prometheus_client import REGISTRY, generate_latest

from generator.adapters.endpoint_models import EndpointBounds, OpenAiEndpoints
from generator.adapters.prometheus_observer import PrometheusModelObserver
from generator.domain.extractive import ExtractiveEngine
from generator.domain.language_model import LanguageModel, Message, ModelFinished, Role
from generator.domain.models import Endpoint as BroughtEndpoint
from generator.domain.models import Model, TokenLimits
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.errors import AppError, Status
from shared.rpc.status import from_rpc_error
from tests.contract.generator.endpoint import Endpoint, Reply, delta, running_endpoint

if TYPE_CHECKING:
    Stub = generation_pb2_grpc.GenerationServiceAsyncStub
    StartGenerator = Callable[..., Awaitable[Stub]]

KEY = "sk-of-the-organisation"
TURNS = [generation_pb2.Turn(role=generation_pb2.TURN_ROLE_USER, text="Name a colour.")]
ALLOWED = {"ENDPOINTS__ALLOWED_NETWORKS": '["127.0.0.0/8"]'}


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running


def brought(base_url: str, **fields: object) -> generation_pb2.Endpoint:
    return generation_pb2.Endpoint(**{"base_url": base_url, "model": "theirs", "api_key": KEY, **fields})  # type: ignore[arg-type]


def complete(
    stub: Stub, endpoint: generation_pb2.Endpoint
) -> grpc.aio.UnaryStreamCall[generation_pb2.CompleteRequest, generation_pb2.CompleteResponse]:
    return stub.Complete(generation_pb2.CompleteRequest(messages=TURNS, endpoint=endpoint), timeout=20)


async def error_of(stub: Stub, endpoint: generation_pb2.Endpoint) -> AppError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        _ = [event async for event in complete(stub, endpoint)]
    return from_rpc_error(raised.value)


async def test_a_request_runs_on_the_model_that_it_brings(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.says("Blue.")
    endpoint.says("Five [1].")
    stub = await start_generator(**ALLOWED)
    events = [event async for event in complete(stub, brought(endpoint.base_url, answer_tokens=77))]
    assert events[-1].complete.model == "theirs"
    passages = [generation_pb2.SourcePassage(passage_id="p", text="Five days carry over.")]
    request = generation_pb2.AnswerRequest(question="How many days?", passages=passages, endpoint=brought(endpoint.base_url))
    answer = [event async for event in stub.Answer(request, timeout=20)]
    assert answer[-1].complete.model == "theirs"
    assert [asked["model"] for asked in endpoint.requests] == ["theirs", "theirs"]
    assert endpoint.requests[0]["max_tokens"] == 77
    assert endpoint.authorizations == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.8", "2130706433"]
)
async def test_an_address_in_a_private_network_is_refused(start_generator: StartGenerator, endpoint: Endpoint, host: str) -> None:
    port = endpoint.base_url.rsplit(":", 1)[1]
    error = await error_of(await start_generator(), brought(f"http://{host}:{port}"))
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, "ENDPOINT_ADDRESS_REFUSED")
    assert "LECTERN_GENERATOR_ENDPOINTS__ALLOWED_NETWORKS" in error.message
    assert not endpoint.requests


async def test_a_redirect_is_not_followed(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([], 307, {"location": endpoint.base_url + "/chat/completions"}))
    error = await error_of(await start_generator(**ALLOWED), brought(endpoint.base_url))
    assert (error.status, error.reason) == (Status.FAILED_PRECONDITION, "MODEL_REPLY_INVALID")
    assert "redirected" in error.message
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": ""},
        {"base_url": "ftp://models.example/v1"},
        {"base_url": "https://"},
        {"base_url": "https://models.example:0x50/v1"},
        {"base_url": "https://user:secret@models.example/v1"},
        {"base_url": "https://models.example/v1?key=secret"},
        {"base_url": "https://models.example/" + "x" * 3000},
        {"model": " "},
        {"model": "x" * 300},
        {"api_key": "sk secret"},
        {"api_key": "sk-secret\r\nX-Other: 1"},
        {"api_key": "sk-sécret"},
    ],
)
async def test_an_endpoint_that_cannot_be_one_is_refused_without_repeating_it(
    start_generator: StartGenerator, fields: dict[str, str]
) -> None:
    error = await error_of(await start_generator(**ALLOWED), brought(**{"base_url": "https://models.example/v1", **fields}))
    assert (error.status, error.reason) == (Status.INVALID_ARGUMENT, "ENDPOINT_INVALID")
    assert error.violations[0].field in {"endpoint.base_url", "endpoint.model", "endpoint.api_key"}
    assert "secret" not in error.message


async def test_the_key_stands_in_no_error_no_log_and_no_metric(
    start_generator: StartGenerator, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    endpoint.refuses(401, {"message": f"Incorrect API key provided: {KEY}"})
    endpoint.says("Five [1].")
    stub = await start_generator(**ALLOWED)
    error = await error_of(stub, brought(endpoint.base_url))
    assert error.reason == "MODEL_CREDENTIALS_REFUSED"
    assert "its `api_key`" in error.message
    passages = [generation_pb2.SourcePassage(passage_id="p", text="Five days carry over.")]
    request = generation_pb2.AnswerRequest(question="How many days?", passages=passages, endpoint=brought(endpoint.base_url))
    _ = [event async for event in stub.Answer(request, timeout=20)]
    metrics = generate_latest(REGISTRY).decode()
    assert 'lectern_generator_model_requests_ended_total{model="endpoint",outcome="finished"}' in metrics
    for told in (error.message, str(error.metadata), caplog.text, metrics):
        assert KEY not in told
    assert "theirs" not in metrics


class Opened:
    """Endpoints with room for two clients, and what they were asked to make."""

    def __init__(self, max_concurrent: int = 8) -> None:
        bounds = EndpointBounds(
            TokenLimits(6000, 1024),
            max_clients=2,
            max_concurrent=max_concurrent,
            max_attempts=1,
            connect_timeout_seconds=5,
            first_token_timeout_seconds=20,
            idle_timeout_seconds=20,
            allowed_networks=[ip_network("127.0.0.0/8")],
        )
        self.made: list[str] = []
        self.endpoints = OpenAiEndpoints(bounds, PrometheusModelObserver("endpoint"), self._make)

    def _make(self, name: str, writer: LanguageModel, limits: TokenLimits) -> Model:
        self.made.append(name)
        return Model(name, ExtractiveEngine(), writer, limits)


async def test_clients_are_kept_while_there_is_room_and_the_one_unused_for_longest_goes_first() -> None:
    opened = Opened()
    for name in ["a", "b", "a", "c", "a", "b"]:
        async with opened.endpoints.open(BroughtEndpoint("http://127.0.0.1:1/v1", name)):
            pass
        assert opened.endpoints.client_count <= 2
    assert opened.made == ["a", "b", "c", "b"]
    await opened.endpoints.close()
    assert opened.endpoints.client_count == 0


async def test_no_client_is_closed_while_it_is_used(endpoint: Endpoint) -> None:
    opened = Opened()
    endpoint.says("Blue.")
    async with (
        opened.endpoints.open(BroughtEndpoint(endpoint.base_url, "a")) as model,
        opened.endpoints.open(BroughtEndpoint("http://127.0.0.1:1/v1", "b")),
    ):
        with pytest.raises(AppError) as refused:
            async with opened.endpoints.open(BroughtEndpoint("http://127.0.0.1:1/v1", "c")):
                pass
        assert (refused.value.reason, refused.value.status) == ("GENERATOR_BUSY", Status.RESOURCE_EXHAUSTED)
        pieces = [piece async for piece in model.written_by().complete([Message(Role.USER, "Name a colour.")], 10)]
        assert isinstance(pieces[-1], ModelFinished)
    await opened.endpoints.close()


async def test_one_endpoint_gets_no_more_texts_at_once_than_it_is_bound_to(start_generator: StartGenerator, endpoint: Endpoint) -> None:
    endpoint.replies.append(Reply([delta("Blue")], then="hang"))
    stub = await start_generator(ENDPOINTS__MAX_CONCURRENT="1", **ALLOWED)
    call = complete(stub, brought(endpoint.base_url))
    await anext(aiter(call))
    error = await error_of(stub, brought(endpoint.base_url))
    assert (error.status, error.reason) == (Status.RESOURCE_EXHAUSTED, "MODEL_BUSY")
    assert "LECTERN_GENERATOR_ENDPOINTS__MAX_CONCURRENT" in error.message
    call.cancel()
    await asyncio.wait_for(endpoint.abandoned.wait(), timeout=10)
