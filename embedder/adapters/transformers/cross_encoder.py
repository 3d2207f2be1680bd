"""A transformers sequence classifier that scores pairs of texts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import structlog
import torch
from transformers import AutoModelForSequenceClassification

from embedder.adapters.cores import available_cores
from embedder.adapters.transformers.loading import multiplies_bf16
from embedder.adapters.transformers.network import keep_in_bf16, load_weights
from embedder.adapters.transformers.pairs import FastPairTokenizer, RerankerCheckpoint
from embedder.adapters.transformers.self_test import SelfTestError
from embedder.domain.encoding import EncoderFailed, EncoderSpec, Vectors
from embedder.domain.reranking import TokenPair, sigmoid

log = structlog.get_logger()
# Beside longer pairs, and in bfloat16, a score (between 0 and 1) may move so far.
_LARGEST_MOVE_BY_PADDING, _LARGEST_MOVE_BY_BF16 = 1e-3, 1e-2
_QUERY = "How soon must the invoice be paid?"
_TEXTS = (
    "The invoice must be paid within thirty days of delivery.",
    "Photosynthesis lets green plants turn sunlight into sugar.",
    "Rule.",
    "When the pump stops, close the valve, wait for the pressure to fall below two bar, and only then open the housing.",
)


@dataclass(frozen=True, slots=True)
class PaddedPairs:
    """One batch in the model's layout, on the encoder's device.

    Shapes:
        ids, mask, types: (pairs, longest pair) int64; mask is 1 on tokens and 0 on padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor


class CrossEncoder:
    """Scores pairs as PyTorch runs the model."""

    def __init__(self, checkpoint: RerankerCheckpoint, *, device: str, bf16: bool) -> None:
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
        self._bf16 = bf16
        self._network = load_weights(AutoModelForSequenceClassification, checkpoint.folder).eval()
        if bf16:
            keep_in_bf16(self._network)
        self._network.to(self._device)

    @property
    def spec(self) -> EncoderSpec:
        return self._checkpoint.spec

    @property
    def precision(self) -> str:
        return "bf16" if self._bf16 else "fp32"

    def encode_pre(self, batch: Sequence[TokenPair]) -> PaddedPairs:
        shape = len(batch), max(map(len, batch))
        ids = np.full(shape, self._checkpoint.pad_id, dtype=np.int64)
        mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, pair in enumerate(batch):
            ids[row, : len(pair)] = pair.ids
            types[row, : len(pair)] = pair.types
            mask[row, : len(pair)] = 1
        return PaddedPairs(*(torch.from_numpy(each).to(self._device) for each in (ids, mask, types)))

    def encode_core(self, prepared: PaddedPairs) -> torch.Tensor:
        types = {"token_type_ids": prepared.types} if self._checkpoint.tells_apart else {}
        try:
            with torch.inference_mode(), self._precision():
                logits: torch.Tensor = self._network(input_ids=prepared.ids, attention_mask=prepared.mask, **types).logits  # (pairs, 1)
        except torch.AcceleratorError as error:
            raise EncoderFailed(str(error)) from error
        return logits

    def encode_post(self, raw: torch.Tensor) -> Vectors:
        logits: Vectors = raw.float().cpu().numpy()
        return logits

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, dtype=torch.bfloat16) if self._bf16 else contextlib.nullcontext()


def load_cross_encoder(
    checkpoint: RerankerCheckpoint, tokenizer: FastPairTokenizer, *, device: str, precision: Literal["auto", "fp32", "bf16"], threads: int
) -> CrossEncoder:
    """Load the weights, choose the precision and run the self-test. Blocking: seconds.

    Args:
        checkpoint: the model.
        tokenizer: its tokenizer.
        device: where to run it.
        precision: ``auto`` takes bfloat16 where the processor multiplies it natively and these scores hardly move by it.
        threads: CPU threads for one batch; 0 for one a core.

    Raises:
        CheckpointError: the weights cannot be loaded.
        SelfTestError: the scores cannot be trusted.
    """
    torch.set_num_threads(threads or available_cores())
    exact = CrossEncoder(checkpoint, device=device, bf16=False)
    scores = _self_test(exact, tokenizer)
    if precision == "fp32" or (precision == "auto" and not multiplies_bf16(device)):
        return exact
    faster = CrossEncoder(checkpoint, device=device, bf16=True)
    moved = float(np.abs(_self_test(faster, tokenizer) - scores).max())
    accepted = precision == "bf16" or moved <= _LARGEST_MOVE_BY_BF16
    log.info("bf16_compared", encoder="CrossEncoder", largest_move=round(moved, 6), accepted=accepted)
    return faster if accepted else exact


def _self_test(encoder: CrossEncoder, tokenizer: FastPairTokenizer) -> Vectors:
    """Score some texts together and one by one, and refuse a model whose scores are not finite, all alike, or moved by padding.

    Shapes:
        returns: (texts,), between 0 and 1.
    """
    pairs = tokenizer.tokenize_pairs(_QUERY, _TEXTS)
    together = _logits(encoder, pairs)
    name = encoder.spec.name
    if together.shape != (len(_TEXTS), 1) or not np.isfinite(together).all():
        raise SelfTestError(f"{name} made scores that are not finite, or not one a text.")
    if np.ptp(together) == 0:
        raise SelfTestError(f"{name} gives every text the same score.")
    alone = np.concatenate([_logits(encoder, [pair]) for pair in pairs])
    scores = sigmoid(together[:, 0])
    allowed = _LARGEST_MOVE_BY_BF16 if encoder.precision == "bf16" else _LARGEST_MOVE_BY_PADDING
    if (moved := float(np.abs(scores - sigmoid(alone[:, 0])).max())) > allowed:
        raise SelfTestError(f"{name} scores a text differently beside longer ones (by {moved:.4f}): padding leaks into its scores.")
    return scores


def _logits(encoder: CrossEncoder, pairs: Sequence[TokenPair]) -> Vectors:
    return encoder.encode_post(encoder.encode_core(encoder.encode_pre(pairs)))
