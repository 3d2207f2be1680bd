"""Models in the shapes of well-known ones, with random weights: speed needs no training."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, BertConfig, PretrainedConfig, XLMRobertaConfig

from bench.measuring import Figures, Latency, Timing, cpu_matmul_rate, gpu_matmul_rate, print_table
from bench.peers import sentence_transformer
from bench.texts import passages, queries
from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL, model_folder, read_checkpoint
from embedder.adapters.transformers.packed import PackedEncoder
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task, TokenIds

_BASE: dict[str, Any] = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_MINIATURE: dict[str, Any] = {"num_hidden_layers": 2, "vocab_size": 30_522}
_WINDOW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """A model to stand in for."""

    name: str
    config: PretrainedConfig
    pooling: str


def known_shapes(*, miniature: bool) -> list[Shape]:
    """bge-base, bge-large, e5-large and bge-m3; in miniature with two layers and a small vocabulary each."""
    fewer = _MINIATURE if miniature else {}
    positions: dict[str, Any] = {"max_position_embeddings": _WINDOW_TOKENS}
    roberta: dict[str, Any] = {
        "vocab_size": 250_002,
        "max_position_embeddings": _WINDOW_TOKENS + 2,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }
    return [
        Shape("bge-base", BertConfig(**_BASE | positions | fewer), "cls"),
        Shape("bge-large", BertConfig(**_LARGE | positions | fewer), "cls"),
        Shape("e5-large", BertConfig(**_LARGE | positions | fewer), "mean"),
        Shape("bge-m3", XLMRobertaConfig(**_LARGE | roberta | fewer), "cls"),
    ]


@contextmanager
def saved(shape: Shape) -> Iterator[Path]:
    """A sentence-transformers folder of that shape, with the packaged model's tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        torch.manual_seed(0)
        AutoModel.from_config(shape.config).save_pretrained(path)
        for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
            shutil.copy(model_folder(PACKAGED_MODEL) / file, path / file)
        kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        modules = [
            {"idx": number, "name": str(number), "path": where, "type": f"sentence_transformers.models.{kind}"}
            for number, (where, kind) in enumerate(kinds.items())
        ]
        _write(path / "modules.json", modules)
        _write(path / "sentence_bert_config.json", {"max_seq_length": _WINDOW_TOKENS, "do_lower_case": False})
        key = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}[shape.pooling]
        (path / "1_Pooling").mkdir()
        (path / "2_Normalize").mkdir()
        _write(path / "1_Pooling" / "config.json", {"word_embedding_dimension": shape.config.hidden_size, key: True})
        yield path


def forward_flops(transformer: torch.nn.Module, lengths: Sequence[int]) -> float:
    """Operations of the layers and of attention: two a token and weight outside the embedding tables, four a width and pair of tokens."""
    weights = sum(
        parameter.numel() for name, parameter in transformer.named_parameters() if "embeddings" not in name and "pooler" not in name
    )
    config: Any = transformer.config
    attention = 4 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    return float(2 * weights * sum(lengths) + attention)


def shapes_table(device: str, *, quick: bool) -> Figures:
    """Every shape: token ids to vectors on the host, text to vectors beside sentence-transformers, and one query."""
    miniature = device == "cpu"
    peak = cpu_matmul_rate(torch.bfloat16) * torch.get_num_threads() if miniature else gpu_matmul_rate(torch.bfloat16, device)
    figures: Figures = {"matmul_bf16_tflops": peak / 1e12}
    rows = []
    for shape in known_shapes(miniature=miniature):
        with saved(shape) as folder:
            measured = _measure(folder, device, peak, texts=16 if miniature else 4000, rounds=2 if quick else 5)
        rows.append([shape.name, *(f"{value:,.2f}" for value in measured.values())])
        figures |= {f"{shape.name}.{figure}": value for figure, value in measured.items()}
    title = f"Shapes on {device}{', two layers each' if miniature else ''}; bf16 matmul {peak / 1e12:.2f} TFLOP/s"
    print_table(title, ["shape", *(figure.replace("_", " ") for figure in measured)], rows)
    return figures


def _measure(folder: Path, device: str, peak: float, *, texts: int, rounds: int) -> Figures:
    checkpoint = read_checkpoint(str(folder))
    tokenizer = FastTokenizer(checkpoint)
    encoder = PackedEncoder(checkpoint, device=device, bf16=True)
    plain, half = (sentence_transformer(folder, device=device, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    mixed = passages(texts, sentences=(1, 30))
    ids = tokenizer.tokenize(mixed, Task.PASSAGE)
    runs: dict[str, Callable[[], object]] = {
        "forward": lambda: _encode(encoder, ids),
        "ours": lambda: _encode(encoder, tokenizer.tokenize(mixed, Task.PASSAGE)),
        "fp32": lambda: plain.encode(mixed, show_progress_bar=False),
        "bf16": lambda: half.encode(mixed, show_progress_bar=False),
    }
    timings = {name: Timing() for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            timings[name].wall.append(time.perf_counter() - began)
    flops = forward_flops(encoder.network.transformer, [len(each) for each in ids])
    return {
        "tokens_per_second": sum(map(len, ids)) / timings["forward"].median,
        "share_of_matmul_rate": flops / timings["forward"].median / peak,
        "times_sentence_transformers_fp32": timings["ours"].times_faster_than(timings["fp32"]),
        "times_sentence_transformers_bf16": timings["ours"].times_faster_than(timings["bf16"]),
        "query_p50_ms": _query(encoder, tokenizer).p50,
    }


def _encode(encoder: PackedEncoder, ids: Sequence[TokenIds], budget_tokens: int = 16_384) -> None:
    """All of them, sorted, in batches of the budget; waits until the vectors are on the host."""
    batch: list[TokenIds] = []
    for each in sorted(ids, key=len, reverse=True):
        if batch and len(batch[0]) * (len(batch) + 1) > budget_tokens:
            encoder.encode_post(encoder.encode_core(encoder.encode_pre(batch)))
            batch = []
        batch.append(each)
    encoder.encode_post(encoder.encode_core(encoder.encode_pre(batch)))


def _query(encoder: PackedEncoder, tokenizer: FastTokenizer) -> Latency:
    seconds = []
    for text in queries(50):
        ids = tokenizer.tokenize([text], Task.QUERY)
        began = time.perf_counter()
        _encode(encoder, ids)
        seconds.append(time.perf_counter() - began)
    return Latency.of(seconds[10:])


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
