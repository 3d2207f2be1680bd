"""Rerankers and further models, through the service's own process: loaded when asked for, scored as transformers scores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
import tokenizers
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaForSequenceClassification,
)

from embedder.adapters.transformers.checkpoint import CheckpointError
from embedder.adapters.transformers.pairs import read_reranker_checkpoint
from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from lectern.embedder.v1.reranking_pb2 import RerankTextsRequest
from lectern.embedder.v1.reranking_pb2_grpc import RerankingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from tests.contract.embedder.process import EMBEDDING_SERVICE, EmbedderProcess
from tests.contract.embedder.tiny_models import CORPUS, bert, bert_config, unigrams, word_pieces, xlm_roberta_config

if TYPE_CHECKING:
    from lectern.embedder.v1.reranking_pb2_grpc import RerankingServiceAsyncStub

# Of random weights, so that the scores differ.
SPREAD = 0.2
QUERY = "When must the invoice be paid?"
TEXTS = [*CORPUS, "Rule.", " ".join(CORPUS * 4), "a"]


def save(folder: Path, model: PreTrainedModel, tokenizer: tokenizers.Tokenizer, pad: str, *, types: bool) -> Path:
    model.save_pretrained(folder)
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, model_max_length=60, model_input_names=inputs)
    fast.save_pretrained(folder)
    return folder


def bge_reranker(folder: Path) -> Path:
    tokenizer = unigrams()
    torch.manual_seed(4)
    model = XLMRobertaForSequenceClassification(xlm_roberta_config(tokenizer, num_labels=1, initializer_range=SPREAD))
    return save(folder, model, tokenizer, "<pad>", types=False)


def minilm_reranker(folder: Path, labels: int = 1) -> Path:
    tokenizer = word_pieces()
    torch.manual_seed(4)
    return save(
        folder,
        BertForSequenceClassification(bert_config(tokenizer, num_labels=labels, initializer_range=SPREAD)),
        tokenizer,
        "[PAD]",
        types=True,
    )


# What its fixtures make is made once in each worker that runs one of these.
pytestmark = pytest.mark.xdist_group("reranking")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("models")
    (made / "broken").mkdir()
    return {
        "bge": bge_reranker(made / "bge"),
        "minilm-ce": minilm_reranker(made / "minilm-ce"),
        "tiny": bert(made / "tiny"),
        "broken": made / "broken",
    }


@pytest.fixture(scope="module")
def process(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    kinds = {"bge": "reranker", "minilm-ce": "reranker"}
    models = [
        {"name": name, "folder": str(folder), "kind": kinds.get(name, "embedding"), "precision": "fp32"} for name, folder in folders.items()
    ]
    folder = tmp_path_factory.mktemp("reranker")
    started = EmbedderProcess(folder, "http://127.0.0.1:9", MODELS=json.dumps(models), CACHE_FOLDER=str(folder / "graphs"))
    try:
        started.wait_until(serving=True, service=EMBEDDING_SERVICE)
        yield started
    finally:
        started.close()


@pytest.fixture
async def channel(process: EmbedderProcess) -> AsyncIterator[grpc.aio.Channel]:
    with acting_for(Caller("org", "service:test")):
        async with open_channel(process.target, process.signer) as opened:
            yield opened


@pytest.fixture
def reranking(channel: grpc.aio.Channel) -> RerankingServiceAsyncStub:
    return RerankingServiceStub(channel)


def logits(folder: Path) -> list[float]:
    """What transformers makes of each pair alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [float(model(**tokenizer(QUERY, text, truncation=True, return_tensors="pt")).logits[0, 0]) for text in TEXTS]


@pytest.mark.parametrize("name", ["bge", "minilm-ce"])
async def test_scores_are_those_of_transformers_in_the_order_of_the_texts(
    name: str, reranking: RerankingServiceAsyncStub, folders: dict[str, Path]
) -> None:
    expected = np.array(logits(folders[name]))
    assert np.ptp(expected) > 0.1
    raw = await reranking.RerankTexts(RerankTextsRequest(model=name, query=QUERY, texts=TEXTS, raw_scores=True), timeout=90)
    np.testing.assert_allclose(raw.scores, expected, atol=1e-4)
    between = await reranking.RerankTexts(RerankTextsRequest(model=name, query=QUERY, texts=TEXTS), timeout=90)
    np.testing.assert_allclose(between.scores, 1 / (1 + np.exp(-expected)), atol=1e-4)
    assert (raw.model, len(raw.revision)) == (name, 64)
    assert raw.token_count > len(TEXTS)


async def test_what_cannot_be_scored_is_refused_with_its_reason(reranking: RerankingServiceAsyncStub) -> None:
    requests = {
        "TEXT_COUNT_OUT_OF_RANGE": RerankTextsRequest(query=QUERY),
        "EMPTY_TEXT": RerankTextsRequest(query=QUERY, texts=[" "]),
        "EMPTY_QUERY": RerankTextsRequest(query=" ", texts=["x"]),
        "QUERY_TOO_LONG": RerankTextsRequest(query="x" * 40_000, texts=["x"]),
        "MODEL_NOT_FOUND": RerankTextsRequest(model="none", query=QUERY, texts=["x"]),
        "WRONG_MODEL_KIND": RerankTextsRequest(model="minilm", query=QUERY, texts=["x"]),
    }
    for reason, request in requests.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reranking.RerankTexts(request, timeout=90)
        assert from_rpc_error(refused.value).reason == reason


async def test_a_further_model_is_listed_loaded_by_its_first_call_and_its_health_tells(
    process: EmbedderProcess, channel: grpc.aio.Channel
) -> None:
    embedding = EmbeddingServiceStub(channel)
    await asyncio.to_thread(process.wait_until, serving=False, service="models/tiny")
    listed = {model.name: model for model in (await embedding.ListModels(embedding_pb2.ListModelsRequest())).models}
    assert set(listed) == {"minilm", "bge", "minilm-ce", "tiny", "broken"}
    assert (listed["tiny"].state, listed["tiny"].dimension) == (embedding_pb2.MODEL_STATE_UNLOADED, 32)
    assert (listed["bge"].kind, listed["bge"].dimension) == (embedding_pb2.MODEL_KIND_RERANKER, 0)
    assert listed["minilm"].memory_bytes > 4 * 22_000_000
    response = await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["x"], model="tiny"), timeout=90)
    assert (response.model, response.vectors.dimension) == ("tiny", 32)
    await asyncio.to_thread(process.wait_until, serving=True, service="models/tiny")


async def test_a_model_that_cannot_be_read_is_failed_with_its_reason_and_hurts_no_other(channel: grpc.aio.Channel) -> None:
    embedding = EmbeddingServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["x"], model="broken"), timeout=90)
    assert from_rpc_error(failed.value).reason == "MODEL_FAILED"
    (broken,) = (m for m in (await embedding.ListModels(embedding_pb2.ListModelsRequest())).models if m.name == "broken")
    assert broken.state == embedding_pb2.MODEL_STATE_FAILED
    assert "modules.json is missing" in broken.failure
    assert (await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["x"]))).vectors.count == 1


def test_a_classifier_of_several_labels_and_a_model_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="3 labels"):
        read_reranker_checkpoint(str(minilm_reranker(tmp_path / "three", labels=3)))
    with pytest.raises(CheckpointError, match="no sequence classifier"):
        read_reranker_checkpoint(str(bert(tmp_path / "bert")))
