"""A model that another server runs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from embedder import errors
from embedder.adapters.remote.back_end import Address, HttpBackEnd
from embedder.adapters.remote.tokenizer import CountingTokenizer
from embedder.domain.back_end import BackEndBusy, BackEndRefused, BackEndUnreachable, CountedText, TextsRefused
from embedder.domain.batcher import Batcher
from embedder.domain.embedding import Model, ModelKind, TextEmbedder
from embedder.domain.encoding import EncoderSpec, Task
from embedder.domain.engine import RemoteEngine
from embedder.domain.models import Description

_PROBE = CountedText("probe", 3)


class RemoteModelError(Exception):
    """The server cannot be used; the text says why and what to change."""


@dataclass(frozen=True, slots=True)
class RemoteUse:
    """What an operator may decide about a remote model.

    Attributes:
        dimension: elements that its vectors must have; None for as many as the first has.
        max_length_tokens: longer texts are cut there.
        tokenizer: a ``tokenizer.json`` that counts; None for the packaged model's.
        requests: how many may be on their way at once.
        prefixes: put before each text.
    """

    dimension: int | None
    max_length_tokens: int
    tokenizer: Path | None
    requests: int
    prefixes: dict[Task, str]


class RemoteModel:
    """Implements `embedder.domain.models.ModelSource`: probes the server, and holds no memory."""

    kind = ModelKind.EMBEDDING
    device = "remote"

    def __init__(self, address: Address, use: RemoteUse, open_batcher: Callable[[], Batcher], bulk_threads: Executor) -> None:
        """Name a model; nothing is sent yet.

        Args:
            address: where it is asked for.
            use: how.
            open_batcher: makes its queue.
            bulk_threads: run the CPU work of bulk calls.
        """
        self.name = address.name
        self._address = address
        self._use = use
        self._open_batcher = open_batcher
        self._bulk_threads = bulk_threads
        self._dimension = use.dimension
        self._as_base64 = True

    def describe(self) -> Description:
        """Ask the server for one vector.

        Raises:
            RemoteModelError: it gives none, or one of another dimension than the settings or earlier vectors have.
        """
        self._dimension = self._probe()
        # Where the server stands does not change vectors; which model it runs does.
        revision = hashlib.sha256(f"remote\0{self._address.remote_model}\0{self._dimension}".encode()).hexdigest()
        return Description(EncoderSpec(self.name, revision, self._dimension, self._use.max_length_tokens, normalised=True), memory_bytes=0)

    def prepare(self, model: Model) -> TextEmbedder:
        tokenizer = CountingTokenizer(self._use.tokenizer, self._use.prefixes, self._use.max_length_tokens)
        return TextEmbedder(model, tokenizer, self._open_batcher(), self._bulk_threads)

    def load(self) -> RemoteEngine:
        """Ask the server once more, for it may have been described long ago.

        Raises:
            RemoteModelError: as `describe`.
        """
        dimension = self._probe()
        back_end = HttpBackEnd(self._address, as_base64=self._as_base64, requests=self._use.requests)
        return RemoteEngine(back_end, dimension, self._use.requests)

    def held_bytes(self, precision: str) -> int:  # noqa: ARG002  # whatever it is, it is elsewhere
        return 0

    def release(self) -> None:
        """Nothing is held."""

    def _probe(self) -> int:
        """The dimension of the server's vectors. Finds out whether it knows base64."""
        try:
            try:
                dimension = asyncio.run(self._ask(as_base64=True))
                self._as_base64 = True
            except TextsRefused:
                dimension = asyncio.run(self._ask(as_base64=False))
                self._as_base64 = False
        except BackEndBusy as busy:
            raise RemoteModelError(str(errors.remote_busy(self.name, busy.pause_seconds or 1.0))) from None
        except BackEndUnreachable as problem:
            raise RemoteModelError(str(errors.remote_unreachable(self.name, str(problem), 1.0))) from None
        except (BackEndRefused, TextsRefused) as refused:
            raise RemoteModelError(str(refused.error)) from None
        if self._dimension not in (None, dimension):
            raise RemoteModelError(str(errors.remote_dimension_changed(self.name, dimension, self._dimension)))
        return dimension

    async def _ask(self, *, as_base64: bool) -> int:
        back_end = HttpBackEnd(self._address, as_base64=as_base64)
        try:
            return int((await back_end.embed([_PROBE])).shape[1])
        finally:
            await back_end.close()
