"""A model that is unloaded leaves neither memory nor threads behind, whatever ran it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import BertModel

from embedder.adapters.engines import EngineChoice, EngineName
from embedder.adapters.memory import count_parameters, device_memory_bytes, give_back_memory
from embedder.adapters.metrics import PrometheusObserver
from embedder.adapters.model_folders import EmbeddingFolder, Surroundings
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits, Lane
from embedder.domain.embedding import Model, ModelState, TextEmbedder, Urgency
from embedder.domain.encoding import EncoderFailed, Task
from embedder.domain.models import LoadableModel
from tests.contract.embedder.tiny_models import bert, bert_config, word_pieces

SIZES = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8}
LONGEST_SECONDS = 20.0


class Silence:
    async def model_changed(self, model: Model) -> None: ...


def resident_bytes() -> int:
    give_back_memory()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def threads() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 100 MB."""
    made = bert(tmp_path_factory.mktemp("model") / "bert")
    torch.manual_seed(1)
    config = bert_config(word_pieces())
    config.update(SIZES)
    BertModel(config, add_pooling_layer=False).save_pretrained(made)
    return made


async def serve_once(model: LoadableModel) -> None:
    runner = await model.prepare()
    assert isinstance(runner, TextEmbedder)
    await model.load()
    for lane in Lane:
        assert (await runner.embed(["pump " * 40] * 8, Task.PASSAGE, "org", Urgency(lane))).matrix().shape == (8, 512)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
async def test_an_unloaded_model_gives_memory_and_threads_back(engine: EngineName, folder: Path, tmp_path: Path) -> None:
    bulk = ThreadPoolExecutor(1)
    # The loop's own would grow with its use.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    source = EmbeddingFolder(
        "big",
        str(folder),
        {},
        EngineChoice(engine, "cpu", "fp32", 2, tmp_path),
        Surroundings(lambda: Batcher(BatchLimits(), PrometheusObserver()), bulk, None),
    )

    def lost(error: EncoderFailed) -> None:
        raise AssertionError(error)

    model = LoadableModel(source, Silence(), lost)
    await model.describe()
    # The libraries' own first use keeps memory and threads that no model's end gives back.
    await serve_once(model)
    await model.unload()
    size = 4 * count_parameters(folder)
    before, threads_before = resident_bytes(), threads()
    await serve_once(model)
    assert resident_bytes() - before >= 0.7 * size
    assert model.model.memory_bytes >= size
    await model.unload()
    assert model.model.state is ModelState.UNLOADED
    assert resident_bytes() - before <= 0.3 * size
    async with asyncio.timeout(LONGEST_SECONDS):
        while len(threads()) > len(threads_before):  # noqa: ASYNC110  # threads tell nobody that they end
            await asyncio.sleep(0.01)
    bulk.shutdown()


def test_a_container_may_not_use_more_memory_than_it_was_granted(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    machine = device_memory_bytes("cpu", limit)
    assert machine > 2**28
    limit.write_text(f"{2**27}\n")
    assert device_memory_bytes("cpu", limit) == 2**27
    assert device_memory_bytes("cpu", tmp_path / "none") == machine
