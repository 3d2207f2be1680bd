"""A model whose device does what a test says, and whose vectors tell whose they are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

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
    """Holds every batch until `decide`; after `open` none, and after `lose` none comes back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: deque[Batch] = deque()
        self._always: Verdict | None = None

    def decide(self, verdict: Verdict) -> None:
        """Pass the verdict on the batch held longest, if there is one."""
        with self._changed:
            if self._held:
                self._held.popleft().verdict = verdict
            self._changed.notify_all()

    def open(self) -> None:
        self._decide_from_now_on(self._always or Verdict.SERVED)

    def lose(self) -> None:
        self._decide_from_now_on(Verdict.LOST)

    def verdict(self) -> Verdict:
        """What becomes of the batch that its caller, a device thread, brings. Blocking: until that is decided."""
        with self._changed:
            self._held.append(batch := Batch())
            assert self._changed.wait_for(lambda: batch.verdict or self._always, LONGEST_SECONDS)
            return batch.verdict or self._always or Verdict.SERVED

    def _decide_from_now_on(self, verdict: Verdict) -> None:
        with self._changed:
            self._always = verdict
            self._changed.notify_all()


@dataclass(slots=True)
class Batch:
    """One batch on the device; without a verdict it stays there."""

    verdict: Verdict | None = None


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
        verdict = self._device.verdict()
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
