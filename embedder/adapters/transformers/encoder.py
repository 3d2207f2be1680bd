"""A transformers model that embeds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.network import SentenceNetwork, keep_in_bf16
from embedder.domain.encoding import EncoderFailed, EncoderSpec, TokenIds, Vectors


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """One batch in the model's layout.

    Shapes:
        ids, mask: (texts, longest text) int64 on the encoder's device; mask is 1 on tokens and 0 on padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class TransformersEncoder:
    """Runs the network as PyTorch runs it: the reference, and the way onto GPUs."""

    def __init__(self, checkpoint: Checkpoint, *, device: str, bf16: bool) -> None:
        """Load the weights. Blocking: seconds.

        Args:
            checkpoint: the folder to load.
            device: ``cpu``, ``cuda:0``, …
            bf16: multiply in bfloat16; embeddings, norms and sums stay in float32.

        Raises:
            CheckpointError: the weights do not fit the configuration.
        """
        self._checkpoint = checkpoint
        self._device = torch.device(device)
        self.bf16 = bf16
        self.network = SentenceNetwork(checkpoint)
        if bf16:
            keep_in_bf16(self.network)
        self.network.to(self._device)

    @property
    def spec(self) -> EncoderSpec:
        return self._checkpoint.spec

    def encode_pre(self, batch: Sequence[TokenIds]) -> PaddedBatch:
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self._checkpoint.pad_id, dtype=torch.int64)  # (texts, longest)
        mask = torch.zeros((len(batch), longest), dtype=torch.int64)  # (texts, longest)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return PaddedBatch(ids.to(self._device), mask.to(self._device))

    def encode_core(self, prepared: PaddedBatch) -> torch.Tensor:
        try:
            with torch.inference_mode(), self._precision():
                vectors: torch.Tensor = self.network(prepared.ids, prepared.mask)  # (texts, dim)
        except torch.AcceleratorError as error:
            raise EncoderFailed(str(error)) from error
        return vectors

    def encode_post(self, raw: torch.Tensor) -> Vectors:
        vectors: Vectors = raw.cpu().numpy()
        return vectors

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.bf16:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()
