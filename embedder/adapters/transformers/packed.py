"""Runs a batch as one row of tokens without padding: attention is told where each text begins and ends.

On a GPU attention is PyTorch's variable-length flash attention; elsewhere each text is attended to in turn, so that tests can hold the
encoder to its reference without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from embedder.adapters.transformers.checkpoint import Checkpoint, Pooling
from embedder.adapters.transformers.network import SentenceNetwork
from embedder.domain.encoding import EncoderFailed, EncoderSpec, TokenIds, Vectors

_ATTENTION = "lectern_packed"


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One batch in the model's layout, on the encoder's device.

    Shapes:
        ids, positions: (1, tokens of all texts) int64; positions count from each text's own start.
        offsets: (texts + 1,) int32: where each text starts, and the end.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    offsets: torch.Tensor
    longest: int


class PackedEncoder:
    """Runs the network on texts laid end to end: a GPU's fastest way, for nothing is spent on padding."""

    def __init__(self, checkpoint: Checkpoint, *, device: str, bf16: bool) -> None:
        """Load the weights. Blocking: seconds.

        Args:
            checkpoint: the folder to load.
            device: ``cpu``, ``cuda:0``, …
            bf16: compute in bfloat16; pooling and normalisation stay in float32.

        Raises:
            CheckpointError: the weights do not fit the configuration.
            ValueError: this kind of model has no attention that can be replaced.
        """
        self._checkpoint = checkpoint
        self._device = torch.device(device)
        self.bf16 = bf16
        self.network = SentenceNetwork(checkpoint)
        self.network.transformer.set_attn_implementation(_ATTENTION)
        self.network.to(self._device, torch.bfloat16 if bf16 else torch.float32)
        config = self.network.transformer.config
        # RoBERTa counts positions from its padding id + 1.
        self._first_position = int(config.pad_token_id) + 1 if "roberta" in config.model_type else 0

    @property
    def spec(self) -> EncoderSpec:
        return self._checkpoint.spec

    def encode_pre(self, batch: Sequence[TokenIds]) -> PackedBatch:
        lengths = np.fromiter(map(len, batch), dtype=np.int32, count=len(batch))
        offsets = np.zeros(len(batch) + 1, dtype=np.int32)
        np.cumsum(lengths, out=offsets[1:])
        ids = np.concatenate([np.asarray(tokens, dtype=np.int64) for tokens in batch])
        positions = np.arange(len(ids), dtype=np.int64) - np.repeat(offsets[:-1], lengths) + self._first_position
        return PackedBatch(
            self._on_device(ids).unsqueeze(0), self._on_device(positions).unsqueeze(0), self._on_device(offsets), int(lengths.max())
        )

    def encode_core(self, prepared: PackedBatch) -> torch.Tensor:
        try:
            with torch.inference_mode():
                tokens = self.network.transformer(
                    input_ids=prepared.ids,
                    position_ids=prepared.positions,
                    cu_seq_lens_q=prepared.offsets,
                    max_length_q=prepared.longest,
                ).last_hidden_state[0]  # (tokens, dim)
                vectors = pool_packed(tokens.float(), prepared.offsets, self._checkpoint.pooling)  # (texts, dim)
                return torch.nn.functional.normalize(vectors, dim=1) if self._checkpoint.normalise else vectors
        except torch.AcceleratorError as error:
            raise EncoderFailed(str(error)) from error

    def encode_post(self, raw: torch.Tensor) -> Vectors:
        vectors: Vectors = raw.cpu().numpy()
        return vectors

    def _on_device(self, array: Any) -> torch.Tensor:
        """Copy without making the device wait: from pinned memory, behind the work that it has already been given."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor


def pool_packed(tokens: torch.Tensor, offsets: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Make one vector of each text's token vectors.

    Shapes:
        tokens: (tokens of all texts, dim) float32.
        offsets: (texts + 1,).
        returns: (texts, dim) float32.
    """
    match pooling:
        case Pooling.CLS:
            return tokens[offsets[:-1].long()]
        case Pooling.LAST_TOKEN:
            return tokens[offsets[1:].long() - 1]
        case Pooling.MAX | Pooling.MEAN:
            return torch.segment_reduce(tokens, pooling.value, offsets=offsets.long())


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each text, as transformers asks for it.

    Shapes:
        query: (1, heads, tokens, head dim); key, value: the same with as many heads as the model keeps for them.
        returns: (1, tokens, heads, head dim).
    """
    del attention_mask  # There is no padding to hide.
    causal = bool(getattr(module, "is_causal", False))
    shared_heads = query.shape[1] != key.shape[1]
    if query.is_cuda:
        query, key, value = (each[0].transpose(0, 1) for each in (query, key, value))  # (tokens, heads, head dim) each
        window = (-1, 0) if causal else (-1, -1)
        attended: Any = varlen_attn(
            query,
            key,
            value,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=window,
            enable_gqa=shared_heads,
        )
        return attended.unsqueeze(0), None
    lengths = cu_seq_lens_q.diff().tolist()
    texts = zip(*(torch.split(each, lengths, dim=2) for each in (query, key, value)), strict=True)
    each_text = [
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling, enable_gqa=shared_heads)
        for q, k, v in texts
    ]
    return torch.cat(each_text, dim=2).transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed texts need none."""


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, _no_mask)
