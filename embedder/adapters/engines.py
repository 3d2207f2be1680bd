"""Chooses what runs the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from embedder.adapters.openvino import OpenVINOError, is_installed
from embedder.adapters.transformers.checkpoint import Checkpoint, CheckpointError
from embedder.adapters.transformers.pairs import FastPairTokenizer, RerankerCheckpoint
from embedder.adapters.transformers.self_test import SelfTestError
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.engine import Engines

# PyTorch takes seconds to import and hundreds of megabytes, which a converted model on a CPU does without: hence the imports in functions.
# ruff: noqa: PLC0415

EngineName = Literal["auto", "openvino", "torch"]
Precision = Literal["auto", "fp32", "bf16", "int8"]

log = structlog.get_logger()
# Measured on CPUs with a model of 6 layers x 384: batches of 512 and 1,024 tokens run fastest, of 4,096 a tenth slower, because activations
# leave the cache. A GPU wants enough work to fill it.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}
# What stands there when the driver of an NVIDIA GPU is loaded, on Linux and in Windows' Linux.
_GPU_DRIVERS = (Path("/proc/driver/nvidia"), Path("/dev/dxg"))


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What an operator may decide about running the model.

    Attributes:
        engine: ``auto``: OpenVINO on a CPU where it is installed and agrees with PyTorch, else PyTorch.
        device: ``cpu``, ``cuda:0``, …
        precision: ``auto``: the fastest that keeps the model's vectors.
        threads: CPU threads for the model; 0: one a core.
        cache_folder: where converted models are kept.
    """

    engine: EngineName
    device: str
    precision: Precision
    threads: int
    cache_folder: Path


def choose_device(device: str) -> str:
    """``auto`` becomes the first GPU, or the CPU where there is none."""
    if device != "auto":
        return device
    if not any(driver.exists() for driver in _GPU_DRIVERS):
        return "cpu"
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def suitable_batch_tokens(device: str) -> int:
    """Padded tokens of the batches that a device runs fastest."""
    return _BATCH_TOKENS[device.partition(":")[0]]


def open_engines(checkpoint: Checkpoint, tokenizer: FastTokenizer, choice: EngineChoice) -> Engines:
    """Load the model and prove it. Blocking: seconds.

    Raises:
        CheckpointError: the weights cannot be loaded.
        OpenVINOError: it was asked for, and is missing or cannot run this model.
        SelfTestError: the vectors are wrong.
    """
    if choice.engine == "torch" or choice.device != "cpu":
        return _through_torch(checkpoint, tokenizer, choice)
    try:
        return _through_openvino(checkpoint, tokenizer, choice)
    except (OpenVINOError, SelfTestError) as error:
        if choice.engine == "openvino" or choice.precision == "int8":
            raise
        log.warning("openvino_not_used", reason=str(error))
        return _through_torch(checkpoint, tokenizer, choice)


def _through_openvino(checkpoint: Checkpoint, tokenizer: FastTokenizer, choice: EngineChoice) -> Engines:
    if not is_installed():
        raise OpenVINOError("OpenVINO is not installed: `pip install openvino`, or set LECTERN_EMBEDDER_ENGINE=torch.")
    try:
        cache_folder = choice.cache_folder.expanduser()
    except RuntimeError:
        raise OpenVINOError("This user has no home directory: set LECTERN_EMBEDDER_CACHE_FOLDER to a folder of your choice.") from None
    from embedder.adapters.openvino.opening import compile_engines

    return compile_engines(
        checkpoint,
        tokenizer,
        precision=choice.precision,
        cache_folder=cache_folder,
        threads=choice.threads,
    )


def _through_torch(checkpoint: Checkpoint, tokenizer: FastTokenizer, choice: EngineChoice) -> Engines:
    from embedder.adapters.transformers.loading import load_encoder

    if choice.precision == "int8":
        raise OpenVINOError("LECTERN_EMBEDDER_PRECISION=int8 needs OpenVINO on a CPU.")
    encoder = load_encoder(checkpoint, tokenizer, device=choice.device, precision=choice.precision, threads=choice.threads)
    return Engines.shared(encoder, "bf16" if encoder.bf16 else "fp32")


def open_cross_encoder(checkpoint: RerankerCheckpoint, tokenizer: FastPairTokenizer, choice: EngineChoice) -> Engines:
    """Load a reranker and prove it. Blocking: seconds. PyTorch runs it, on every device.

    Raises:
        CheckpointError: the weights cannot be loaded, or not in that precision.
        SelfTestError: the scores are wrong.
    """
    from embedder.adapters.transformers.cross_encoder import load_cross_encoder

    if choice.precision == "int8":
        raise CheckpointError(f"{checkpoint.name} is a reranker, which runs in fp32 or bf16.")
    encoder = load_cross_encoder(checkpoint, tokenizer, device=choice.device, precision=choice.precision, threads=choice.threads)
    return Engines.shared(encoder, encoder.precision)
