"""The OpenVINO engine: the same vectors as PyTorch's, converted once, and never trusted unproved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from embedder.adapters import engines
from embedder.adapters.engines import EngineChoice, EngineName, Precision, open_engines
from embedder.adapters.openvino import OpenVINOError, graph, opening
from embedder.adapters.openvino.conversion import trace
from embedder.adapters.openvino.encoder import OpenVINOEncoder
from embedder.adapters.openvino.graph import load_graph
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.adapters.transformers.self_test import SelfTestError, cosines, run_self_test
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Encoder, Task, Vectors
from embedder.domain.engine import Engines
from tests.contract.embedder.tiny_models import CORPUS, bert, xlm_roberta

TEXTS = [*CORPUS, "Rule.", " ".join(CORPUS * 3), "naïve café ☕ 文書", "a"]
MINILM = "minilm"
# They share converted graphs, which each worker would make again.
pytestmark = pytest.mark.xdist_group("openvino")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests that need a converted MiniLM and don't care who converted it."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model whose converted graph stands in ``graphs`` beside it."""
    folder = bert(tmp_path_factory.mktemp("tiny") / "model")
    opened(folder, folder.parent / "graphs")
    return folder


@pytest.fixture
def own_graphs(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small model's converted graph that a test may damage."""
    return shutil.copytree(tiny.parent / "graphs", tmp_path / "graphs")


def opened(folder: Path | str, cache: Path, *, engine: EngineName = "openvino", precision: Precision = "auto") -> Engines:
    checkpoint = read_checkpoint(str(folder))
    choice = EngineChoice(engine, "cpu", precision, threads=2, cache_folder=cache)
    return open_engines(checkpoint, FastTokenizer(checkpoint), choice)


def encode(encoder: Encoder[Any, Any], folder: Path | str, texts: list[str]) -> Vectors:
    tokens = FastTokenizer(read_checkpoint(str(folder))).tokenize(texts, Task.PASSAGE)
    return encoder.encode_post(encoder.encode_core(encoder.encode_pre(tokens)))


def reference(folder: Path | str, texts: list[str]) -> Vectors:
    return encode(TransformersEncoder(read_checkpoint(str(folder)), device="cpu", bf16=False), folder, texts)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(bert, id="bert-mean"),
        pytest.param(lambda folder: bert(folder, pooling="cls_token"), id="bert-cls"),
        pytest.param(lambda folder: bert(folder, pooling="max_tokens"), id="bert-max"),
        pytest.param(lambda folder: bert(folder, normalise=False), id="bert-raw"),
        pytest.param(xlm_roberta, id="xlmr-cls"),
        pytest.param(lambda folder: xlm_roberta(folder, pooling="lasttoken"), id="xlmr-last"),
    ],
)
def test_every_shape_and_pooling_gives_the_vectors_of_the_reference(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    checkpoint = read_checkpoint(str(folder))
    plain = TransformersEncoder(checkpoint, device="cpu", bf16=False)
    traced = trace(plain.network, plain.encode_pre(FastTokenizer(checkpoint).tokenize(TEXTS[:2], Task.PASSAGE)))
    compiled = openvino.Core().compile_model(traced, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    vectors = encode(OpenVINOEncoder(checkpoint.spec, compiled, pad_id=checkpoint.pad_id), folder, TEXTS)
    expected = reference(folder, TEXTS)
    assert cosines(vectors, expected).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-3)


@pytest.mark.parametrize(("precision", "least"), [("auto", 0.9999), ("fp32", 0.99999), ("int8", 0.98)])
def test_each_precision_keeps_what_it_promises_of_a_trained_model(precision: Precision, least: float, cache: Path) -> None:
    made = opened(MINILM, cache, precision=precision)
    expected = reference(MINILM, TEXTS)
    for engine in (made.interactive, made.bulk):
        assert cosines(encode(engine.encoder, MINILM, TEXTS), expected).min() >= least
        run_self_test(engine.encoder, FastTokenizer(read_checkpoint(MINILM)))


def test_int8_changes_vectors_and_says_so(cache: Path) -> None:
    made = opened(MINILM, cache, precision="int8")
    assert made.precision == "int8"
    assert cosines(encode(made.bulk.encoder, MINILM, TEXTS), reference(MINILM, TEXTS)).max() < 0.9999


def test_streams_encode_different_batches_at_once(cache: Path) -> None:
    made = opened(MINILM, cache, precision="fp32")
    texts = [f"Passage {number} is about {CORPUS[number % len(CORPUS)]}" for number in range(24)]
    expected = reference(MINILM, texts)
    with ThreadPoolExecutor(made.bulk.streams + 1) as threads:
        vectors = list(threads.map(lambda text: encode(made.bulk.encoder, MINILM, [text]), texts))
    assert cosines(np.concatenate(vectors), expected).min() >= 0.99999


def test_a_second_start_needs_no_pytorch(cache: Path) -> None:
    opened(MINILM, cache)
    second_start = f"""
import sys
from pathlib import Path
from embedder.adapters.engines import EngineChoice, open_engines
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer

checkpoint = read_checkpoint("minilm")
open_engines(checkpoint, FastTokenizer(checkpoint), EngineChoice("openvino", "cpu", "auto", threads=1, cache_folder=Path({str(cache)!r})))
print(sorted({{"torch", "transformers"}} & set(sys.modules)))
"""
    assert printed_last_by(second_start) == "[]"


def test_openvino_is_imported_without_its_telemetry() -> None:
    imported = """
import embedder.adapters.openvino.opening
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
"""
    assert printed_last_by(imported) == "openvino.tools.ovc.telemetry_stub"


def printed_last_by(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=100)
    return run.stdout.splitlines()[-1]


def damaged(kept: Path) -> None:
    for file in kept.rglob("model.xml"):
        file.write_bytes(file.read_bytes()[:1000])


def half_gone(kept: Path) -> None:
    for file in kept.rglob("reference.npz"):
        file.unlink()


@pytest.mark.parametrize("damage", [damaged, half_gone])
def test_a_kept_graph_that_cannot_be_read_is_made_again(damage: Callable[[Path], None], tiny: Path, own_graphs: Path) -> None:
    damage(own_graphs)
    made = opened(tiny, own_graphs, precision="fp32")
    assert cosines(encode(made.bulk.encoder, tiny, TEXTS), reference(tiny, TEXTS)).min() >= 0.99999
    assert len(list(own_graphs.rglob("reference.npz"))) == 1


def test_a_cache_that_cannot_be_written_costs_no_more_than_time(tiny: Path, tmp_path: Path) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    made = opened(tiny, not_a_folder, precision="fp32")
    assert cosines(encode(made.bulk.encoder, tiny, TEXTS), reference(tiny, TEXTS)).min() >= 0.99999


def test_starts_at_the_same_time_leave_one_whole_graph(tiny: Path, own_graphs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    checkpoint = read_checkpoint(str(tiny))
    made = load_graph(checkpoint, FastTokenizer(checkpoint), own_graphs, threads=1)
    with ThreadPoolExecutor(4) as starts:
        list(starts.map(lambda _: graph._keep(made, cache / "model"), range(8)))
    (kept,) = cache.iterdir()
    assert {file.name for file in kept.iterdir()} == {"model.xml", "model.bin", "reference.npz"}


def test_other_weights_of_the_same_name_are_converted_anew(own_graphs: Path, tmp_path: Path) -> None:
    second = bert(tmp_path / "model", seed=2)
    made = opened(second, own_graphs, precision="fp32")
    assert cosines(encode(made.bulk.encoder, second, TEXTS), reference(second, TEXTS)).min() >= 0.99999


def test_a_graph_that_disagrees_with_its_reference_does_not_serve(tiny: Path, own_graphs: Path) -> None:
    turn_references_around(own_graphs)
    with pytest.raises(SelfTestError, match="other vectors"):
        opened(tiny, own_graphs)
    assert isinstance(opened(tiny, own_graphs, engine="auto").bulk.encoder, TransformersEncoder)


def turn_references_around(cache: Path) -> None:
    for file in cache.rglob("reference.npz"):
        with np.load(file) as kept:
            contents = dict(kept)
        np.savez(file, **contents | {"vectors": contents["vectors"][::-1]})


def test_float32_is_taken_where_bf16_would_lose_too_much(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_multiplies_bf16", lambda _: True)
    monkeypatch.setitem(opening._LEAST_COSINE, "bf16", 1.1)
    assert opened(MINILM, cache).precision == "fp32"


def test_without_openvino_pytorch_runs_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    folder = bert(tmp_path / "model")
    made = opened(folder, tmp_path, engine="auto", precision="fp32")
    assert isinstance(made.bulk.encoder, TransformersEncoder)
    assert made.interactive is made.bulk
    with pytest.raises(OpenVINOError, match="not installed"):
        opened(folder, tmp_path)
    with pytest.raises(OpenVINOError, match="int8"):
        opened(folder, tmp_path, engine="torch", precision="int8")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows priorities of single threads")
def test_bulk_threads_step_back_and_urgent_ones_do_not(tiny: Path, own_graphs: Path) -> None:
    before = priorities()
    made = opened(tiny, own_graphs)
    assert isinstance(made.bulk.encoder, OpenVINOEncoder)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    started = {thread: niceness for thread, niceness in priorities().items() if thread not in before}
    assert sum(niceness > own for niceness in started.values()) >= made.bulk.streams
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def priorities() -> dict[int, int]:
    return {int(task.name): os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path("/proc/self/task").iterdir()}
