"""What the embedder needs of a model: its description, its tokenizer and its three-step encoder."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

TokenIds = Sequence[int]
Vectors = NDArray[np.float32]


class Task(StrEnum):
    """What a text is for. Models that were trained with prefixes give each its own."""

    PASSAGE = "passage"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """How an encoder describes itself.

    Attributes:
        name: what requests call the model.
        revision: digest of weights and configuration; vectors of two revisions must not be compared.
        dimension: elements of a vector.
        max_length_tokens: the window, special tokens and prefix included; longer texts are cut there.
        normalised: whether vectors have length 1.
    """

    name: str
    revision: str
    dimension: int
    max_length_tokens: int
    normalised: bool


class EncoderFailed(Exception):  # noqa: N818  # named for what happened, as the rest of the contract speaks of it
    """The device is in a state that only a new process gets out of."""


class Tokenizer(Protocol):
    """Turns text into the model's tokens. Every method is CPU work and may be called from several threads."""

    @property
    def vocabulary_size(self) -> int:
        """The model knows the token ids below this; 0 where it takes texts alone."""
        ...

    def tokenize(self, texts: Sequence[str], task: Task) -> Sequence[Sized]:
        """What the model's encoder takes for each text: token ids with special tokens and the task's prefix, cut at the window."""
        ...

    def locate(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Code-point offsets at which each text's tokens start; no special tokens, no prefix, never cut."""
        ...


Prepared = TypeVar("Prepared")
Raw = TypeVar("Raw")


class Encoder(Protocol[Prepared, Raw]):
    """Runs the model on one batch in three steps, so that the first and the last can overlap with another batch's second."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode_pre(self, batch: Sequence[Any]) -> Prepared:
        """Pad and lay out a batch of what the model's tokenizer makes of texts. Blocking: CPU only, any thread."""
        ...

    def encode_core(self, prepared: Prepared) -> Raw:
        """Run the model.

        Blocking: yes; call from the device thread only.

        Raises:
            EncoderFailed: the device is lost. Any other exception concerns this batch alone.
        """
        ...

    def encode_post(self, raw: Raw) -> Vectors:
        """Bring the vectors to the host.

        Shapes:
            returns: (texts of the batch, dimension), in the batch's order.
        """
        ...
