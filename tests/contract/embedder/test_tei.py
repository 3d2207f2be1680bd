"""Clients of text-embeddings-inference, made from its stubs, before the real embedder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from shared.vectors import unpack
from tei.v1 import tei_pb2
from tei.v1.tei_pb2_grpc import EmbedStub, InfoStub, TokenizeStub
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, EmbedderProcess

if TYPE_CHECKING:
    from tei.v1.tei_pb2_grpc import EmbedAsyncStub, InfoAsyncStub, TokenizeAsyncStub

TOKEN = "a token of the tests"
TEXT = "The invoice must be paid within thirty days of delivery."
LONG = "beginning of the text " + "and so on " * 400 + "end of the text"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def embedder(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    folder = tmp_path_factory.mktemp("embedder")
    address = {"TEI_LISTEN": f"127.0.0.1:{port}", "TEI_TOKEN": TOKEN}
    started = EmbedderProcess(folder, "http://127.0.0.1:1", QUEUE_TOKENS="20000", QUERY_PREFIX="query: ", PASSAGE_PREFIX="", **address)
    try:
        started.wait_until(serving=True, service=EMBEDDING_SERVICE)
        yield started
    finally:
        started.close()


@pytest.fixture
async def channel(embedder: EmbedderProcess, port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        await asyncio.wait_for(opened.channel_ready(), 30)
        yield opened


@pytest.fixture
def embed(channel: grpc.aio.Channel) -> EmbedAsyncStub:
    return EmbedStub(channel)


@pytest.fixture
def tokenizing(channel: grpc.aio.Channel) -> TokenizeAsyncStub:
    return TokenizeStub(channel)


KEY = (("authorization", f"Bearer {TOKEN}"),)


async def vector(embed: EmbedAsyncStub, text: str, **flags: Any) -> Any:
    return np.array((await embed.Embed(tei_pb2.EmbedRequest(inputs=text, **flags), metadata=KEY)).embeddings)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), from_rpc_error(refused.value).reason


async def test_a_text_has_the_vector_that_our_own_service_gives_it(embed: EmbedAsyncStub, embedder: EmbedderProcess) -> None:
    with acting_for(Caller("org", "service:test")):
        async with open_channel(embedder.target, embedder.signer) as ours:
            reply = await EmbeddingServiceStub(ours).EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[TEXT, LONG]))
    expected = unpack(reply.vectors)
    assert await vector(embed, TEXT) @ expected[0] == pytest.approx(1, abs=1e-4)
    assert await vector(embed, LONG, truncate=True) @ expected[1] == pytest.approx(1, abs=1e-4)


async def test_the_response_says_what_the_text_cost(embed: EmbedAsyncStub) -> None:
    metadata = (await embed.Embed(tei_pb2.EmbedRequest(inputs=TEXT), metadata=KEY)).metadata
    assert (metadata.compute_chars, metadata.compute_tokens) == (len(TEXT), 15)
    assert metadata.total_time_ns >= metadata.inference_time_ns > 0


async def test_a_long_text_is_refused_unless_it_may_be_cut_and_then_at_the_end_that_is_named(embed: EmbedAsyncStub) -> None:
    assert await refusal(vector(embed, LONG)) == (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_TOO_LONG")
    # Each word is one token; the window holds 254 beside the two special ones.
    text = "start " * 254 + "finish " * 100
    right = await vector(embed, text, truncate=True)
    left = await vector(embed, text, truncate=True, truncation_direction=tei_pb2.TRUNCATION_DIRECTION_LEFT)
    assert right @ await vector(embed, "start " * 254) == pytest.approx(1, abs=1e-4)
    assert left @ await vector(embed, "start " * 154 + "finish " * 100) == pytest.approx(1, abs=1e-4)
    assert left @ right < 0.99


async def test_a_normalised_vector_has_length_one(embed: EmbedAsyncStub) -> None:
    assert np.linalg.norm(await vector(embed, TEXT, normalize=True)) == pytest.approx(1, abs=1e-6)


async def test_a_prompt_puts_the_models_prefix_before_the_text(embed: EmbedAsyncStub) -> None:
    prompted = await vector(embed, TEXT, prompt_name="query")
    assert prompted @ await vector(embed, f"query: {TEXT}") == pytest.approx(1, abs=1e-4)
    assert prompted @ await vector(embed, TEXT, prompt_name="document") < 0.9999
    assert await refusal(vector(embed, TEXT, prompt_name="poem")) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_PROMPT")


async def test_an_empty_text_is_refused(embed: EmbedAsyncStub) -> None:
    assert await refusal(vector(embed, " \n")) == (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_TEXT")


async def test_a_stream_answers_in_order_and_holds_back_more_than_can_wait(embed: EmbedAsyncStub) -> None:
    async def requests() -> AsyncIterator[tei_pb2.EmbedRequest]:
        for number in range(300):
            yield tei_pb2.EmbedRequest(inputs=f"{number} " + TEXT * 15)

    vectors = [np.array(response.embeddings) async for response in embed.EmbedStream(requests(), metadata=KEY, timeout=110)]
    assert len(vectors) == 300
    assert vectors[7] @ await vector(embed, "7 " + TEXT * 15) == pytest.approx(1, abs=1e-4)


async def test_more_calls_than_can_wait_are_refused_as_overload(embed: EmbedAsyncStub) -> None:
    calls = [vector(embed, f"{number} " + TEXT * 18) for number in range(300)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < 300
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


async def test_what_the_model_cannot_do_is_unimplemented(embed: EmbedAsyncStub) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield tei_pb2.EmbedAllRequest(inputs=TEXT)

    sparse = embed.EmbedSparse(tei_pb2.EmbedSparseRequest(inputs=TEXT), metadata=KEY)
    every = embed.EmbedAll(tei_pb2.EmbedAllRequest(inputs=TEXT), metadata=KEY)
    assert await refusal(sparse) == (grpc.StatusCode.UNIMPLEMENTED, "NO_SPARSE_VECTORS")
    assert await refusal(every) == (grpc.StatusCode.UNIMPLEMENTED, "NO_TOKEN_VECTORS")
    streamed = anext(aiter(embed.EmbedAllStream(requests(), metadata=KEY)))
    assert await refusal(streamed) == (grpc.StatusCode.UNIMPLEMENTED, "NO_TOKEN_VECTORS")


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", TOKEN),)])
async def test_nobody_gets_in_without_the_token(embed: EmbedAsyncStub, metadata: tuple[tuple[str, str], ...]) -> None:
    call = embed.Embed(tei_pb2.EmbedRequest(inputs=TEXT), metadata=metadata)
    assert await refusal(call) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_tokens_show_their_pieces_of_the_text(tokenizing: TokenizeAsyncStub) -> None:
    request = tei_pb2.EncodeRequest(inputs="☕ Hello worlds", add_special_tokens=True)
    first, *middle, last = (await tokenizing.Tokenize(request, metadata=KEY)).tokens
    assert [(each.id, each.text, each.special, each.HasField("start")) for each in (first, last)] == [
        (101, "[CLS]", True, False),
        (102, "[SEP]", True, False),
    ]
    assert [(each.text, each.start, each.stop) for each in middle] == [("☕", 0, 1), ("Hello", 2, 7), ("worlds", 8, 14)]
    bare = tei_pb2.EncodeRequest(inputs="hello", prompt_name="query")
    assert [each.text for each in (await tokenizing.Tokenize(bare, metadata=KEY)).tokens] == ["query", ":", "hello"]


async def test_token_ids_spell_their_text(tokenizing: TokenizeAsyncStub) -> None:
    async def requests() -> AsyncIterator[tei_pb2.DecodeRequest]:
        for skip in (True, False):
            yield tei_pb2.DecodeRequest(ids=[101, 7592, 2088, 102], skip_special_tokens=skip)

    spelled = [response.text async for response in tokenizing.DecodeStream(requests(), metadata=KEY)]
    assert spelled == ["hello world", "[CLS] hello world [SEP]"]
    nonsense = await tokenizing.Decode(tei_pb2.DecodeRequest(ids=[2**32 - 1]), metadata=KEY)
    assert nonsense.text == ""


async def test_a_stream_of_texts_is_tokenised_in_order(tokenizing: TokenizeAsyncStub) -> None:
    async def requests() -> AsyncIterator[tei_pb2.EncodeRequest]:
        for text in (LONG, "short"):
            yield tei_pb2.EncodeRequest(inputs=text)

    long, short = [response.tokens async for response in tokenizing.TokenizeStream(requests(), metadata=KEY)]
    assert len(long) > 1_200
    assert [each.text for each in short] == ["short"]


async def test_info_describes_the_model(channel: grpc.aio.Channel) -> None:
    stub: InfoAsyncStub = InfoStub(channel)
    info = await stub.Info(tei_pb2.InfoRequest(), metadata=KEY)
    assert (info.model_id, len(info.model_sha), info.model_type) == ("minilm", 64, tei_pb2.MODEL_TYPE_EMBEDDING)
    assert (info.max_input_length, info.max_concurrent_requests, info.max_client_batch_size) == (256, 78, 2048)
    assert info.max_batch_tokens > 0
