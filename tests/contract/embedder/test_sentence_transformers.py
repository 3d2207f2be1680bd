"""The vectors of sentence-transformers itself, for folders that it saved, of every shape that is in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from transformers import BertModel, PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2Model, XLMRobertaModel

from embedder.adapters.engines import EngineChoice, open_engines
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.adapters.transformers.self_test import cosines
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task, Vectors
from tests.contract.embedder.tiny_models import CORPUS, bert_config, byte_pairs, unigrams, word_pieces, xlm_roberta_config

TEXTS = [*CORPUS, "Rule.", " ".join(CORPUS * 5), "naïve café ☕ 文書", "a"]
QWEN_PROMPTS = {"query": "Instruct: find what answers the question\nQuery:", "document": ""}
# Of random weights; with the usual tenth of it all texts have nearly one vector, and any vector is near to any other.
SPREAD = 0.2
PROMPTS = {"query": "find ", "document": "text "}
E5_PROMPTS = {"query": "query: ", "document": "passage: "}


def tiny_bert() -> tuple[PreTrainedModel, tokenizers.Tokenizer]:
    tokenizer = word_pieces()
    return BertModel(bert_config(tokenizer, initializer_range=SPREAD), add_pooling_layer=False), tokenizer


def tiny_xlm_roberta() -> tuple[PreTrainedModel, tokenizers.Tokenizer]:
    tokenizer = unigrams()
    return XLMRobertaModel(xlm_roberta_config(tokenizer, initializer_range=SPREAD), add_pooling_layer=False), tokenizer


def tiny_qwen2() -> tuple[PreTrainedModel, tokenizers.Tokenizer]:
    tokenizer = byte_pairs()
    config = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=SPREAD,
    )
    return Qwen2Model(config), tokenizer


@dataclass(frozen=True)
class Shape:
    """A family of models in miniature.

    Attributes:
        folder: what such a model's folder is called.
        saved_prompts: what the folder says of prompts; the E5 family's says nothing.
        prompts: what is put before texts all the same.
        seed: of weights that happen to pass the self-test, as a trained model's do.
    """

    folder: str
    make: Callable[[], tuple[PreTrainedModel, tokenizers.Tokenizer]]
    pooling: str
    pad: str
    normalised: bool = True
    saved_prompts: dict[str, str] | None = None
    prompts: dict[str, str] | None = None
    seed: int = 11


SHAPES = [
    Shape("all-MiniLM-L6-v2", tiny_bert, "mean", "[PAD]"),
    Shape("bge-base-en-v1.5", tiny_bert, "cls", "[PAD]"),
    Shape("bge-m3", tiny_xlm_roberta, "cls", "<pad>"),
    Shape("e5-base-v2", tiny_bert, "mean", "[PAD]", prompts=E5_PROMPTS),
    Shape("multilingual-e5-large", tiny_xlm_roberta, "mean", "<pad>", prompts=E5_PROMPTS),
    Shape("Qwen3-Embedding-0.6B", tiny_qwen2, "lasttoken", "<|endoftext|>", saved_prompts=QWEN_PROMPTS, prompts=QWEN_PROMPTS),
    Shape("LaBSE-like", tiny_bert, "max", "[PAD]", normalised=False, seed=7),
    Shape("prompted", tiny_bert, "mean", "[PAD]", saved_prompts=PROMPTS, prompts=PROMPTS),
]
# Compiling takes seconds; one of each architecture, the others differ in what is around the network.
COMPILED = {"all-MiniLM-L6-v2", "bge-m3", "Qwen3-Embedding-0.6B"}


@dataclass(frozen=True)
class Saved:
    shape: Shape
    folder: Path
    reference: SentenceTransformer

    def expected(self, texts: Sequence[str], task: str) -> Vectors:
        prompts = self.shape.prompts or {}
        prompt = prompts.get(task, "")
        return np.asarray(self.reference.encode([prompt + text for text in texts], prompt="", batch_size=4, show_progress_bar=False))


# What its fixtures make is made once in each worker that runs one of these.
pytestmark = pytest.mark.xdist_group("sentence_transformers")


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: shape.folder)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    shape: Shape = request.param
    parts, folder = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("saved") / shape.folder
    torch.manual_seed(shape.seed)
    model, tokenizer = shape.make()
    model.save_pretrained(parts)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=shape.pad, model_max_length=48).save_pretrained(parts)
    transformer = modules.Transformer(str(parts))
    pipeline: list[torch.nn.Module] = [transformer, modules.Pooling(model.config.hidden_size, pooling_mode=shape.pooling)]
    pipeline += [modules.Normalize()] if shape.normalised else []
    SentenceTransformer(modules=pipeline, device="cpu", prompts=shape.saved_prompts).save(str(folder))
    return Saved(shape, folder, SentenceTransformer(str(folder), device="cpu"))


@pytest.mark.parametrize(("task", "name"), [(Task.QUERY, "query"), (Task.PASSAGE, "document")])
def test_the_reference_path_gives_the_vectors_of_sentence_transformers(saved: Saved, task: Task, name: str) -> None:
    checkpoint = read_checkpoint(str(saved.folder))
    encoder = TransformersEncoder(checkpoint, device="cpu", bf16=False)
    vectors = encoder.encode_post(encoder.encode_core(encoder.encode_pre(FastTokenizer(checkpoint).tokenize(TEXTS, task))))
    expected = saved.expected(TEXTS, name)
    assert cosines(expected[:-1], expected[1:]).max() < 0.998
    assert cosines(vectors, expected).min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-3)


@pytest.mark.parametrize(
    "saved",
    [pytest.param(shape, marks=() if shape.folder in COMPILED else pytest.mark.slow, id=shape.folder) for shape in SHAPES],
    indirect=True,
)
def test_the_fast_path_gives_them_too(saved: Saved, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(str(saved.folder))
    tokenizer = FastTokenizer(checkpoint)
    engines = open_engines(checkpoint, tokenizer, EngineChoice("openvino", "cpu", "auto", threads=2, cache_folder=tmp_path))
    tokens, expected = tokenizer.tokenize(TEXTS, Task.PASSAGE), saved.expected(TEXTS, "document")
    for encoder in (engines.interactive.encoder, engines.bulk.encoder):
        assert cosines(encoder.encode_post(encoder.encode_core(encoder.encode_pre(tokens))), expected).min() >= 0.999


def test_the_folder_is_described_as_it_is(saved: Saved) -> None:
    spec = read_checkpoint(str(saved.folder)).spec
    assert (spec.name, spec.dimension) == (saved.shape.folder, saved.reference.get_embedding_dimension())
    assert (spec.max_length_tokens, spec.normalised) == (48, saved.shape.normalised)


def test_sentence_transformers_adds_the_same_prompts(saved: Saved) -> None:
    """The expectation of the tests above is what the library's own methods do, where the folder says what to put before texts."""
    if saved.shape.saved_prompts:
        by_library = np.asarray(saved.reference.encode_query(TEXTS, show_progress_bar=False))
        np.testing.assert_allclose(by_library, saved.expected(TEXTS, "query"), atol=1e-5)
        by_library = np.asarray(saved.reference.encode_document(TEXTS, show_progress_bar=False))
        np.testing.assert_allclose(by_library, saved.expected(TEXTS, "document"), atol=1e-5)
