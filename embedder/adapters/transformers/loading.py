"""Loads an encoder and lets it serve only after it has proved itself."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
import structlog
import torch

from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task, Vectors

log = structlog.get_logger()
Precision = Literal["auto", "fp32", "bf16"]
# bfloat16 keeps 8 bits; a model that it moves further than this from its float32 self is run in float32.
_LEAST_COSINE_OF_BF16 = 0.9999
# Padding must not change a vector beyond rounding.
_LEAST_COSINE_OF_PADDED = 0.999
_LENGTH_TOLERANCE = 1e-3

_GOLDEN = (
    "The invoice must be paid within thirty days of delivery.",
    "The invoice has to be paid within thirty days after the delivery.",
    "Photosynthesis lets green plants turn sunlight into sugar.",
    "Rule.",
    "When the pump stops, close the valve, wait for the pressure to fall below two bar, and only then open the housing.",
)


class SelfTestError(Exception):
    """The model's vectors cannot be trusted; the text says what was found."""


def load_encoder(
    checkpoint: Checkpoint, tokenizer: FastTokenizer, *, device: str, precision: Precision, threads: int
) -> TransformersEncoder:
    """Load the weights, choose the precision and run the self-test. Blocking: seconds.

    Args:
        checkpoint: the model.
        tokenizer: its tokenizer.
        device: where to run it.
        precision: ``auto`` takes bfloat16 where the processor multiplies it natively and this model loses nothing by it.
        threads: CPU threads for one batch; 0 for one a core.

    Raises:
        CheckpointError: the weights cannot be loaded.
        SelfTestError: the vectors are wrong.
    """
    torch.set_num_threads(threads or available_cores())
    encoder = TransformersEncoder(checkpoint, device=device, bf16=False)
    exact = _run_self_test(encoder, tokenizer)
    if precision == "bf16" or (precision == "auto" and _multiplies_bf16(device)):
        encoder.bf16 = True
        cosine = float(_cosines(_run_self_test(encoder, tokenizer), exact).min())
        if precision == "auto" and cosine < _LEAST_COSINE_OF_BF16:
            encoder.bf16 = False
        log.info("bf16_compared", least_cosine=round(cosine, 6), used=encoder.bf16)
    return encoder


def choose_device(device: str) -> str:
    """``auto`` becomes the first GPU, or the CPU where there is none."""
    if device != "auto":
        return device
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def available_cores() -> int:
    return len(os.sched_getaffinity(0))


def _multiplies_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) is True for name in ("avx512_bf16", "amx_bf16"))


def _run_self_test(encoder: TransformersEncoder, tokenizer: FastTokenizer) -> Vectors:
    """Embed sentences whose relations are known, and refuse the model when they do not hold.

    Shapes:
        returns: (sentences, dimension).
    """
    spec = encoder.spec
    tokens = tokenizer.tokenize(_GOLDEN, Task.PASSAGE)

    def encode(first: int, last: int) -> Vectors:
        return encoder.encode_post(encoder.encode_core(encoder.encode_pre(tokens[first:last])))

    together = encode(0, len(tokens))
    alone = np.concatenate([encode(row, row + 1) for row in range(len(tokens))])
    if together.shape != (len(_GOLDEN), spec.dimension):
        raise SelfTestError(f"{spec.name} made vectors of shape {together.shape}, not of {spec.dimension} elements.")
    if not np.isfinite(together).all():
        raise SelfTestError(f"{spec.name} made vectors that are not finite.")
    lengths = np.linalg.norm(together, axis=1)
    if (lengths == 0).any() or (spec.normalised and np.abs(lengths - 1).max() > _LENGTH_TOLERANCE):
        raise SelfTestError(f"{spec.name} made vectors of length {lengths.min():.3f} to {lengths.max():.3f}.")
    if (least := _cosines(together, alone).min()) < _LEAST_COSINE_OF_PADDED:
        raise SelfTestError(
            f"{spec.name} embeds a text differently beside longer ones (cosine {least:.4f}): padding leaks into its vectors."
        )
    alike, unlike = _cosines(together[:1], together[1:2])[0], _cosines(together[:1], together[2:3])[0]
    if alike <= unlike:
        raise SelfTestError(
            f"{spec.name} finds a paraphrase (cosine {alike:.3f}) no closer than another subject ({unlike:.3f}): wrong pooling?"
        )
    return together


def _cosines(left: Vectors, right: Vectors) -> Vectors:
    """Row-wise cosine.

    Shapes:
        left, right: (rows, dimension).
        returns: (rows,).
    """
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: Vectors = (left * right).sum(axis=1) / lengths
    return cosines
