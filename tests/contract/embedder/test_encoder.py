"""What every encoder promises, over models of several shapes loaded by the code that loads real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from embedder.adapters.transformers.checkpoint import CheckpointError, model_folder, read_checkpoint
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.adapters.transformers.loading import load_encoder
from embedder.adapters.transformers.packed import PackedEncoder
from embedder.adapters.transformers.self_test import SelfTestError, cosines, run_self_test
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Encoder, Task, Vectors
from tests.contract.embedder.tiny_models import CORPUS, bert, xlm_roberta

TEXTS = [*CORPUS, "Rule.", " ".join(CORPUS * 3), "naïve café ☕ 文書", "a"]


@dataclass(frozen=True)
class Shape:
    """A model to load, and how its vectors are meant to be made of its token vectors."""

    name: str
    make: Callable[[Path], Path]
    pool: Callable[[torch.Tensor], torch.Tensor]
    prefix: str = ""
    normalised: bool = True


SHAPES = [
    Shape("minilm", lambda _: model_folder("minilm"), lambda tokens: tokens.mean(dim=0)),
    Shape("bert-mean", bert, lambda tokens: tokens.mean(dim=0)),
    Shape("bert-cls", lambda folder: bert(folder, pooling="cls_token"), lambda tokens: tokens[0]),
    Shape("bert-max", lambda folder: bert(folder, pooling="max_tokens"), lambda tokens: tokens.max(dim=0).values),
    Shape("bert-raw", lambda folder: bert(folder, normalise=False), lambda tokens: tokens.mean(dim=0), normalised=False),
    Shape("xlmr-cls", xlm_roberta, lambda tokens: tokens[0]),
    Shape("xlmr-last", lambda folder: xlm_roberta(folder, pooling="lasttoken"), lambda tokens: tokens[-1]),
    Shape(
        "xlmr-prefix",
        lambda folder: xlm_roberta(folder, pooling="mean_tokens", prompts={"query": "query: ", "passage": "passage: "}),
        lambda tokens: tokens.mean(dim=0),
        prefix="passage: ",
    ),
]


@dataclass(frozen=True)
class Loaded:
    shape: Shape
    folder: Path
    encoder: PackedEncoder | TransformersEncoder
    tokenizer: FastTokenizer

    def encode(self, texts: Sequence[str], task: Task = Task.PASSAGE) -> Vectors:
        encoder: Encoder[Any, Any] = self.encoder
        return encoder.encode_post(encoder.encode_core(encoder.encode_pre(self.tokenizer.tokenize(texts, task))))


@pytest.fixture(scope="module", params=[TransformersEncoder, PackedEncoder], ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[PackedEncoder | TransformersEncoder]:
    chosen: type[PackedEncoder | TransformersEncoder] = request.param
    return chosen


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: shape.name)
def loaded(
    request: pytest.FixtureRequest, kind: type[PackedEncoder | TransformersEncoder], tmp_path_factory: pytest.TempPathFactory
) -> Loaded:
    shape: Shape = request.param
    folder = shape.make(tmp_path_factory.mktemp(shape.name))
    checkpoint = read_checkpoint(str(folder))
    return Loaded(shape, folder, kind(checkpoint, device="cpu", bf16=False), FastTokenizer(checkpoint))


def reference(shape: Shape, folder: Path, texts: Sequence[str]) -> Vectors:
    """The same vectors made one text at a time, without padding, batching or any code of ours."""
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"])
    vectors = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(shape.prefix + text).ids])
        with torch.inference_mode():
            vectors.append(shape.pool(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]))
    stacked = torch.stack(vectors)
    return np.asarray(torch.nn.functional.normalize(stacked, dim=1) if shape.normalised else stacked)


def test_vectors_are_those_of_the_plain_model_whatever_shares_the_batch(loaded: Loaded) -> None:
    vectors, expected = loaded.encode(TEXTS), reference(loaded.shape, loaded.folder, TEXTS)
    assert cosines(vectors, expected).min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-4)


def test_the_encoder_describes_itself_truly(loaded: Loaded) -> None:
    spec = loaded.encoder.spec
    texts = [*TEXTS, " ".join(CORPUS * 20)]
    vectors = loaded.encode(texts)
    assert vectors.shape == (len(texts), spec.dimension)
    assert vectors.dtype == np.float32
    assert spec.normalised == bool(np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3))
    assert max(map(len, loaded.tokenizer.tokenize(texts, Task.PASSAGE))) == spec.max_length_tokens


def test_texts_are_cut_at_the_window_and_not_before(loaded: Loaded) -> None:
    words = " ".join(CORPUS * 20).split()
    whole, cut = loaded.encode([" ".join(words)])[0], loaded.encode([" ".join(words[: len(words) // 2])])[0]
    np.testing.assert_allclose(whole, cut, atol=1e-5)


def test_located_tokens_start_where_the_tokens_of_the_text_stand(loaded: Loaded) -> None:
    text = "Ünïcode ☕ first,  then the invoice. " * 400
    (starts,) = loaded.tokenizer.locate([text])
    assert len(starts) > loaded.encoder.spec.max_length_tokens
    assert starts.dtype == np.uint32
    assert (np.diff(starts.astype(np.int64)) >= 0).all()
    assert 0 <= starts[0] <= 1
    assert starts[-1] < len(text)


def test_bf16_keeps_the_vectors(loaded: Loaded) -> None:
    half = replace(loaded, encoder=type(loaded.encoder)(read_checkpoint(str(loaded.folder)), device="cpu", bf16=True))
    # Random weights lose more than trained ones, and so does a sum that is kept in bfloat16 too.
    exact = loaded.shape.name == "minilm" and isinstance(loaded.encoder, TransformersEncoder)
    assert cosines(half.encode(TEXTS), loaded.encode(TEXTS)).min() >= (0.9999 if exact else 0.999)


@pytest.mark.parametrize(("precision", "bf16"), [("fp32", False), ("bf16", True)])
def test_the_precision_is_what_was_asked_for(precision: Literal["fp32", "bf16"], *, bf16: bool) -> None:
    checkpoint = read_checkpoint("minilm")
    encoder = load_encoder(checkpoint, FastTokenizer(checkpoint), device="cpu", precision=precision, threads=1)
    assert encoder.bf16 is bf16


def test_bf16_that_makes_other_vectors_is_refused_where_it_was_asked_for_and_else_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    true_post = TransformersEncoder.encode_post

    def turned_around(encoder: TransformersEncoder, raw: torch.Tensor) -> Vectors:
        return true_post(encoder, raw.flip(0) if encoder.bf16 else raw)

    monkeypatch.setattr(TransformersEncoder, "encode_post", turned_around)
    checkpoint = read_checkpoint("minilm")
    tokenizer = FastTokenizer(checkpoint)
    with pytest.raises(SelfTestError, match="LECTERN_EMBEDDER_PRECISION=fp32"):
        load_encoder(checkpoint, tokenizer, device="cpu", precision="bf16", threads=1)
    assert not load_encoder(checkpoint, tokenizer, device="cpu", precision="auto", threads=1).bf16


def test_each_task_has_its_prefix(tmp_path: Path) -> None:
    folder = xlm_roberta(tmp_path, prompts={"query": "query: ", "document": "passage: "})
    tokenizer = FastTokenizer(read_checkpoint(str(folder)))
    assert tokenizer.tokenize(["the pump"], Task.QUERY) == tokenizer.tokenize(["the pump"], Task.QUERY)
    assert tokenizer.tokenize(["the pump"], Task.QUERY) != tokenizer.tokenize(["the pump"], Task.PASSAGE)
    overridden = FastTokenizer(read_checkpoint(str(folder), {Task.QUERY: "passage: "}))
    assert overridden.tokenize(["the pump"], Task.QUERY) == tokenizer.tokenize(["the pump"], Task.PASSAGE)


@pytest.mark.parametrize(("name", "query_prefix"), [("multilingual-e5-small", "query: "), ("e5-base", "query: "), ("model5-base", "")])
def test_a_model_of_the_e5_family_has_its_prefixes_although_its_folder_names_none(tmp_path: Path, name: str, query_prefix: str) -> None:
    assert read_checkpoint(str(xlm_roberta(tmp_path / name))).prefixes[Task.QUERY] == query_prefix


def test_the_revision_changes_with_the_weights_and_with_the_pooling_alone(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    first = read_checkpoint(str(folder)).revision
    (folder / "README.md").write_text("about")
    assert read_checkpoint(str(folder)).revision == first
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    second = read_checkpoint(str(folder)).revision
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert len({first, second, read_checkpoint(str(folder)).revision}) == 3


def damage(path: str, content: str | None) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        if content is None:
            (folder / path).unlink()
        else:
            (folder / path).write_text(content)

    return apply


@pytest.mark.parametrize(
    "damaged",
    [
        damage("modules.json", None),
        damage("modules.json", "{"),
        damage("modules.json", '[{"path": "", "type": "sentence_transformers.models.Transformer"}]'),
        damage(
            "modules.json",
            '[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}, {"path": "d", "type": "x.Dense"}]',
        ),
        damage("1_Pooling/config.json", "{}"),
        damage("1_Pooling/config.json", '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}'),
        damage("1_Pooling/config.json", '{"pooling_mode_weightedmean_tokens": true}'),
        damage("1_Pooling/config.json", '{"pooling_mode_mean_tokens": true, "include_prompt": false}'),
        damage("config.json", None),
        damage("tokenizer.json", None),
        damage("model.safetensors", "not weights"),
    ],
)
def test_a_folder_that_cannot_be_followed_is_refused(tmp_path: Path, damaged: Callable[[Path], None]) -> None:
    damaged(bert(tmp_path))
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model folder"):
        read_checkpoint(str(tmp_path / "nowhere"))


def load(folder: Path) -> PackedEncoder | TransformersEncoder:
    checkpoint = read_checkpoint(str(folder))
    return load_encoder(checkpoint, FastTokenizer(checkpoint), device="cpu", precision="fp32", threads=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_whose_weights_are_not_numbers_does_not_pass_the_self_test(tmp_path: Path, value: float) -> None:
    checkpoint = read_checkpoint(str(bert(tmp_path)))
    encoder = TransformersEncoder(checkpoint, device="cpu", bf16=False)
    with torch.no_grad():
        encoder.network.transformer.embeddings.word_embeddings.weight.fill_(value)
    with pytest.raises(SelfTestError, match="not finite"):
        run_self_test(encoder, FastTokenizer(checkpoint))


def test_a_model_that_tells_nothing_apart_does_not_pass_the_self_test(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(str(bert(tmp_path)))
    encoder = TransformersEncoder(checkpoint, device="cpu", bf16=False)
    with torch.no_grad():
        encoder.network.transformer.embeddings.word_embeddings.weight.zero_()
        encoder.network.transformer.embeddings.position_embeddings.weight.zero_()
    with pytest.raises(SelfTestError, match="paraphrase"):
        run_self_test(encoder, FastTokenizer(checkpoint))


def test_a_model_that_lacks_weights_is_refused_instead_of_filled_with_random_ones(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks weights: encoder\.layer\.1\.output\.dense\.weight"):
        load(folder)


def test_a_newer_folder_may_name_its_pooling_in_one_word(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    (folder / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 32, "pooling_mode": "cls"}')
    shape = Shape("named", bert, lambda tokens: tokens[0])
    checkpoint = read_checkpoint(str(folder))
    loaded = Loaded(shape, folder, TransformersEncoder(checkpoint, device="cpu", bf16=False), FastTokenizer(checkpoint))
    assert cosines(loaded.encode(TEXTS), reference(shape, folder, TEXTS)).min() >= 0.9999
