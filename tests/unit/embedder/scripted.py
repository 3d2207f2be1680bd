"""A model whose device does what a test says, and whose vectors tell whose they are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import Enum
from queue import SimpleQueue

import numpy as np

from embedder.domain.batching import DropReason, Lane
from embedder.domain.encoding import EncoderFailed, EncoderSpec, TokenIds, Vectors

SPEC = EncoderSpec("scripted", "1", 3, 512, normalised=False)
# However a test ends, no thread of it waits longer.
LONGEST_SECONDS = 20.0


class Verdict(Enum):
    """What becomes of a batch that the device holds."""

    SERVED = "served"
    BROKEN = "broken"
    LOST = "lost"


def text(name: int, length: int) -> TokenIds:
    """A text of ``length`` tokens that no other test text of another ``name`` equals."""
    return [name, *range(length - 1)]


def vector(tokens: TokenIds) -> list[float]:
    """What the scripted model makes of a text."""
    return [float(tokens[0]), float(len(tokens)), float(sum(tokens))]


class Device:
    """Holds every batch until `decide`; after `open`, none."""

    def __init__(self) -> None:
        self.held: SimpleQueue[Batch] = SimpleQueue()
        self.opened = threading.Event()

    def decide(self, verdict: Verdict) -> bool:
        """Pass the verdict on the batch held longest; whether there was one."""
        if self.held.empty():
            return False
        self.held.get().settle(verdict)
        return True

    def open(self) -> None:
        self.opened.set()
        while self.decide(Verdict.SERVED):
            pass


class Batch:
    """One batch on the device."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._verdict = Verdict.SERVED

    def settle(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._settled.set()

    def wait(self, device: Device) -> Verdict:
        for _ in range(int(LONGEST_SECONDS / 0.05)):
            if self._settled.wait(0.05) or device.opened.is_set():
                return self._verdict
        raise AssertionError("nobody decided about the batch")


class ScriptedEncoder:
    """Embeds as `vector` says, once its device lets it."""

    spec = SPEC

    def __init__(self, device: Device, poison: frozenset[int] = frozenset()) -> None:
        """Put it on a device.

        Args:
            device: decides about its batches.
            poison: names of texts that break every batch that they are in.
        """
        self._device = device
        self._poison = poison
        self.seen: list[int] = []

    def encode_pre(self, batch: Sequence[TokenIds]) -> list[TokenIds]:
        return list(batch)

    def encode_core(self, prepared: list[TokenIds]) -> Vectors:
        self.seen += [tokens[0] for tokens in prepared]
        batch = Batch()
        self._device.held.put(batch)
        verdict = batch.wait(self._device)
        if verdict is Verdict.LOST:
            raise EncoderFailed("the device is gone")
        if verdict is Verdict.BROKEN or any(tokens[0] in self._poison for tokens in prepared):
            raise RuntimeError("the batch does not fit")
        return np.array([vector(tokens) for tokens in prepared], dtype=np.float32)

    def encode_post(self, raw: Vectors) -> Vectors:
        return raw


class Ledger:
    """An observer that counts."""

    def __init__(self) -> None:
        self.drops: list[DropReason] = []
        self.tokens = dict.fromkeys(Lane, 0)
        self.encoded = 0

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None:
        self.drops += [reason] * texts

    def queued(self, lane: Lane, tokens: int) -> None:
        assert tokens >= 0
        self.tokens[lane] = tokens

    def waited(self, lane: Lane, seconds: float) -> None:
        assert seconds >= 0

    def batch_encoded(self, *, texts: int, tokens: int, padded_tokens: int, budget_tokens: int, seconds: float) -> None:
        assert tokens <= padded_tokens
        self.encoded += texts
