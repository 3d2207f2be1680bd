"""Models that are folders on this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from embedder.adapters.engines import EngineChoice, open_cross_encoder, open_engines
from embedder.adapters.memory import count_parameters, give_back_memory, held_bytes
from embedder.adapters.transformers.checkpoint import Checkpoint, read_checkpoint
from embedder.adapters.transformers.pairs import FastPairTokenizer, RerankerCheckpoint, read_reranker_checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.batcher import Batcher
from embedder.domain.embedding import Model, ModelKind, TextEmbedder
from embedder.domain.encoding import Task
from embedder.domain.engine import Engines
from embedder.domain.models import Description
from embedder.domain.reranking import TextReranker

# OpenVINO compiles the model once for each lane.
_COMPILED_COPIES = 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a model needs of the process.

    Attributes:
        open_batcher: makes a model's queue.
        bulk_threads: run the CPU work of bulk calls.
        device_threads: the GPU's one thread, shared by all models; None on a CPU.
    """

    open_batcher: Callable[[], Batcher]
    bulk_threads: Executor
    device_threads: Executor | None


class EmbeddingFolder:
    """A folder in sentence-transformers layout."""

    kind = ModelKind.EMBEDDING

    def __init__(self, name: str, folder: str, prefixes: dict[Task, str], choice: EngineChoice, surroundings: Surroundings) -> None:
        """Name a model; nothing is read yet.

        Args:
            name: what requests call it.
            folder: a path, or ``minilm``.
            prefixes: take the place of those that the folder gives.
            choice: how to run it.
            surroundings: what it needs of the process.
        """
        self.name = name
        self.device = choice.device
        self._folder = folder
        self._prefixes = prefixes
        self._choice = choice
        self._surroundings = surroundings
        self._parameters = 0
        self._compiled_copies = _COMPILED_COPIES if choice.device == "cpu" and choice.engine != "torch" else 0
        self._checkpoint: Checkpoint | None = None
        self._tokenizer: FastTokenizer | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """What the folder says; read when it was not yet. Blocking: hashes the weights."""
        if self._checkpoint is None:
            self._checkpoint = read_checkpoint(self._folder, self._prefixes, name=self.name)
        return self._checkpoint

    def describe(self) -> Description:
        self._parameters = count_parameters(self.checkpoint.transformer)
        return Description(self.checkpoint.spec, self.held_bytes(self._choice.precision))

    def prepare(self, model: Model) -> TextEmbedder:
        self._tokenizer = FastTokenizer(self.checkpoint)
        return TextEmbedder(model, self._tokenizer, self._surroundings.open_batcher(), self._surroundings.bulk_threads)

    def load(self) -> Engines:
        tokenizer, self._tokenizer = self._tokenizer or FastTokenizer(self.checkpoint), None
        engines = open_engines(self.checkpoint, tokenizer, self._choice)
        self._compiled_copies = 0 if engines.interactive is engines.bulk else _COMPILED_COPIES
        return _on_shared_device(engines, self._surroundings.device_threads)

    def held_bytes(self, precision: str) -> int:
        return held_bytes(self._parameters, "fp32" if precision == "auto" else precision, compiled_copies=self._compiled_copies)

    def release(self) -> None:
        give_back_memory()


class RerankerFolder:
    """A folder with a cross-encoder."""

    kind = ModelKind.RERANKER

    def __init__(self, name: str, folder: str, choice: EngineChoice, surroundings: Surroundings) -> None:
        """Name a model; nothing is read yet. Arguments as `EmbeddingFolder`."""
        self.name = name
        self.device = choice.device
        self._folder = folder
        self._choice = choice
        self._surroundings = surroundings
        self._parameters = 0
        self._checkpoint: RerankerCheckpoint | None = None
        self._tokenizer: FastPairTokenizer | None = None

    @property
    def checkpoint(self) -> RerankerCheckpoint:
        """What the folder says; read when it was not yet. Blocking: hashes the weights."""
        if self._checkpoint is None:
            self._checkpoint = read_reranker_checkpoint(self._folder, name=self.name)
        return self._checkpoint

    def describe(self) -> Description:
        self._parameters = count_parameters(self.checkpoint.folder)
        return Description(self.checkpoint.spec, self.held_bytes(self._choice.precision))

    def prepare(self, model: Model) -> TextReranker:
        self._tokenizer = FastPairTokenizer(self.checkpoint)
        return TextReranker(model, self._tokenizer, self._surroundings.open_batcher(), self._surroundings.bulk_threads)

    def load(self) -> Engines:
        tokenizer, self._tokenizer = self._tokenizer or FastPairTokenizer(self.checkpoint), None
        return _on_shared_device(open_cross_encoder(self.checkpoint, tokenizer, self._choice), self._surroundings.device_threads)

    def held_bytes(self, precision: str) -> int:
        return held_bytes(self._parameters, "fp32" if precision == "auto" else precision, compiled_copies=0)

    def release(self) -> None:
        give_back_memory()


def _on_shared_device(engines: Engines, device_threads: Executor | None) -> Engines:
    return Engines.shared(engines.bulk.encoder, engines.precision, device_threads) if device_threads else engines
