"""Loads an encoder and lets it serve only after it has proved itself."""

from __future__ import annotations

from typing import Literal

import structlog
import torch

from embedder.adapters.cores import available_cores
from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.adapters.transformers.packed import PackedEncoder
from embedder.adapters.transformers.self_test import SelfTestError, cosines, run_self_test
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Vectors

log = structlog.get_logger()
Precision = Literal["auto", "fp32", "bf16"]
# bfloat16 keeps 8 bits; a model that it moves further than this from its float32 self is run in float32.
_LEAST_COSINE_OF_BF16 = 0.9999
# Where an operator asked for bfloat16: what rounding may cost, but not a wrong way to run the model.
_LEAST_COSINE_ASKED_FOR = 0.97


def load_encoder(
    checkpoint: Checkpoint, tokenizer: FastTokenizer, *, device: str, precision: Precision, threads: int
) -> PackedEncoder | TransformersEncoder:
    """Load the weights, choose the precision and run the self-test. Blocking: seconds.

    Args:
        checkpoint: the model.
        tokenizer: its tokenizer.
        device: where to run it.
        precision: ``auto`` takes bfloat16 where the processor multiplies it natively and this model loses nothing by it.
        threads: CPU threads for one batch; 0 for one a core.

    Raises:
        CheckpointError: the weights cannot be loaded.
        SelfTestError: the vectors are wrong, or bfloat16 was asked for and makes others.
    """
    exact, exact_vectors = load_reference(checkpoint, tokenizer, device=device, threads=threads)
    if precision == "fp32" or (precision == "auto" and not multiplies_bf16(device)):
        return exact
    least = _LEAST_COSINE_ASKED_FOR if precision == "bf16" else _LEAST_COSINE_OF_BF16
    # A GPU runs texts of all lengths as one row, with attention as one kernel.
    for kind in (PackedEncoder, TransformersEncoder) if device.startswith("cuda") else (TransformersEncoder,):
        try:
            faster = kind(checkpoint, device=device, bf16=True)
            cosine = float(cosines(run_self_test(faster, tokenizer), exact_vectors).min())
        except (SelfTestError, RuntimeError, ValueError) as error:
            log.warning("bf16_failed", encoder=kind.__name__, error=str(error))
            continue
        accepted = cosine >= least
        log.info("bf16_compared", encoder=kind.__name__, least_cosine=round(cosine, 6), accepted=accepted)
        if accepted:
            return faster
    if precision == "bf16":
        raise SelfTestError(f"{checkpoint.name} makes other vectors in bfloat16 than in float32; set LECTERN_EMBEDDER_PRECISION=fp32.")
    return exact


def load_reference(checkpoint: Checkpoint, tokenizer: FastTokenizer, *, device: str, threads: int) -> tuple[TransformersEncoder, Vectors]:
    """Load what every other way to run the model is held to: float32, as PyTorch runs it; with its vectors of the self-test.

    Blocking: seconds.

    Raises:
        CheckpointError: the weights cannot be loaded.
        SelfTestError: the vectors are wrong.
    """
    torch.set_num_threads(threads or available_cores())
    exact = TransformersEncoder(checkpoint, device=device, bf16=False)
    return exact, run_self_test(exact, tokenizer)


def multiplies_bf16(device: str) -> bool:
    """Whether the device has instructions of its own for bfloat16."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) is True for name in ("avx512_bf16", "amx_bf16"))
