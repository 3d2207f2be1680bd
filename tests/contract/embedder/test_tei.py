"""Clients of text-embeddings-inference, made from its stubs, before the real embedder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import processors
from transformers import BertConfig, BertForSequenceClassification

from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.reranking_pb2 import RerankTextsRequest
from lectern.embedder.v1.reranking_pb2_grpc import RerankingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from shared.vectors import unpack
from tei.v1 import tei_pb2
from tei.v1.tei_pb2_grpc import EmbedStub, InfoStub, RerankStub, TokenizeStub
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, EmbedderProcess
from tests.contract.embedder.tiny_models import bert

if TYPE_CHECKING:
    from tei.v1.tei_pb2_grpc import EmbedAsyncStub, InfoAsyncStub, RerankAsyncStub, TokenizeAsyncStub

TOKEN = "a token of the tests"
TEXT = "The invoice must be paid within thirty days of delivery."
LONG = "beginning of the text " + "and so on " * 400 + "end of the text"


# What its fixtures make is made once in each worker that runs one of these.
pytestmark = pytest.mark.xdist_group("tei")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def tiny_reranker(folder: Path) -> Path:
    """A sequence classifier of one label with random weights."""
    tokenizer = tokenizers.Tokenizer.from_file(str(bert(folder.with_name("words")) / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
        initializer_range=0.5,
    )
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def embedder(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    folder = tmp_path_factory.mktemp("embedder")
    reranker = {"name": "tiny", "kind": "reranker", "folder": str(tiny_reranker(folder / "reranker"))}
    address = {"TEI_LISTEN": f"127.0.0.1:{port}", "TEI_TOKEN": TOKEN, "MODELS": json.dumps([reranker])}
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


async def test_a_rerank_orders_the_texts_as_our_own_service_scores_them(channel: grpc.aio.Channel, embedder: EmbedderProcess) -> None:
    texts = ["green plants", "the invoice must be paid", "the pump stops", "sugar"]
    with acting_for(Caller("org", "service:test")):
        async with open_channel(embedder.target, embedder.signer) as ours:
            scored = await RerankingServiceStub(ours).RerankTexts(RerankTextsRequest(query="invoice", texts=texts, raw_scores=True))
    stub: RerankAsyncStub = RerankStub(channel)
    request = tei_pb2.RerankRequest(query="invoice", texts=texts, raw_scores=True, return_text=True)
    ranks = (await stub.Rerank(request, metadata=KEY)).ranks
    assert {rank.index: rank.score for rank in ranks} == pytest.approx(dict(enumerate(scored.scores)), abs=1e-4)
    assert [rank.score for rank in ranks] == sorted((rank.score for rank in ranks), reverse=True)
    assert [rank.text for rank in ranks] == [texts[rank.index] for rank in ranks]


async def test_texts_that_come_one_by_one_are_ranked_by_the_first_ones_query(channel: grpc.aio.Channel) -> None:
    texts = ["green plants", "the invoice must be paid", "the pump stops"]

    async def requests(count: int) -> AsyncIterator[tei_pb2.RerankStreamRequest]:
        for number in range(count):
            yield tei_pb2.RerankStreamRequest(query="invoice" if number == 0 else "pump", text=texts[number % 3])

    stub: RerankAsyncStub = RerankStub(channel)
    streamed = await stub.RerankStream(requests(3), metadata=KEY)
    whole = await stub.Rerank(tei_pb2.RerankRequest(query="invoice", texts=texts), metadata=KEY)
    assert [rank.index for rank in streamed.ranks] == [rank.index for rank in whole.ranks]
    assert not any(rank.HasField("text") for rank in streamed.ranks)
    too_many = (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_COUNT_OUT_OF_RANGE")
    assert await refusal(stub.RerankStream(requests(2_049), metadata=KEY)) == too_many
    assert await refusal(stub.RerankStream(requests(0), metadata=KEY)) == too_many


async def test_info_describes_the_model(channel: grpc.aio.Channel) -> None:
    stub: InfoAsyncStub = InfoStub(channel)
    info = await stub.Info(tei_pb2.InfoRequest(), metadata=KEY)
    assert (info.model_id, len(info.model_sha), info.model_type) == ("minilm", 64, tei_pb2.MODEL_TYPE_EMBEDDING)
    assert (info.max_input_length, info.max_concurrent_requests, info.max_client_batch_size) == (256, 78, 2048)
    assert info.model_dtype in {"float32", "bfloat16"}
    assert info.max_batch_tokens > 0
