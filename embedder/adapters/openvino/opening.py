"""Compiles a graph for both lanes, and lets it serve only where it agrees with its reference."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import structlog

from embedder.adapters.cores import available_cores
from embedder.adapters.openvino import OpenVINOError
from embedder.adapters.openvino.encoder import OpenVINOEncoder
from embedder.adapters.openvino.graph import Graph, Reference, load_graph
from embedder.adapters.openvino.quantisation import quantise
from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.self_test import SelfTestError, cosines
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Encoder, TokenIds, Vectors
from embedder.domain.engine import Engine, Engines

log = structlog.get_logger()
# How near a vector must be to its float32 self in a precision that nobody asked for, and in one that somebody did.
_LEAST_COSINE = {"fp32": 0.99999, "bf16": 0.9999}
_LEAST_COSINE_ASKED_FOR = 0.97
_TEXTS_TOGETHER = 4
# Bulk work gets out of the way of whatever else this process does.
_BULK_NICENESS = 10


def compile_engines(checkpoint: Checkpoint, tokenizer: FastTokenizer, *, precision: str, cache_folder: Path, threads: int) -> Engines:
    """Load or convert the model, and compile it in the fastest precision that keeps its vectors. Blocking: seconds.

    Args:
        checkpoint: the model.
        tokenizer: its tokenizer.
        precision: ``fp32``, ``bf16``, ``int8``, or ``auto``: bf16 where the processor multiplies it natively and this model loses nothing
            by it, else fp32.
        cache_folder: where converted models are kept.
        threads: CPU threads for the model; 0 for one a core.

    Raises:
        CheckpointError: the weights cannot be loaded.
        OpenVINOError: OpenVINO cannot run this kind of model.
        SelfTestError: the vectors are not those of the reference.
    """
    threads = threads or available_cores()
    graph = load_graph(checkpoint, tokenizer, cache_folder, threads=threads)
    core = openvino.Core()
    for candidate in _candidates(core, precision):
        try:
            engines = _compile(core, graph, checkpoint, precision=candidate, threads=threads)
            least = min(_least_cosine(engine, graph.reference) for engine in (engines.interactive, engines.bulk))
        except RuntimeError as error:
            raise OpenVINOError(f"OpenVINO cannot run {checkpoint.name}; set LECTERN_EMBEDDER_ENGINE=torch. It says: {error}") from error
        agrees = least >= (_LEAST_COSINE_ASKED_FOR if precision in {"bf16", "int8"} else _LEAST_COSINE[candidate])
        log.info("precision_compared", precision=candidate, least_cosine=round(least, 6), used=agrees)
        if agrees:
            return engines
    raise SelfTestError(f"OpenVINO makes other vectors of {checkpoint.name} than PyTorch (cosine {least:.5f}).")


def _candidates(core: openvino.Core, precision: str) -> Sequence[str]:
    if precision != "auto":
        return (precision,)
    return ("bf16", "fp32") if _multiplies_bf16(core) else ("fp32",)


def _multiplies_bf16(core: openvino.Core) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(core: openvino.Core, graph: Graph, checkpoint: Checkpoint, *, precision: str, threads: int) -> Engines:
    """Compile twice: a model for one urgent batch at a time, and one for bulk work, whose threads step back for the first.

    Bulk threads run a batch each, which is faster than sharing one. A thread is as urgent as the thread that made it; hence the order, and
    the thread to compile in.
    """
    model = quantise(graph.model, graph.reference.probes) if precision == "int8" else graph.model
    lower = precision == "bf16" or (precision == "int8" and _multiplies_bf16(core))

    def encoder(streams: int, threads: int) -> OpenVINOEncoder:
        options = {"INFERENCE_PRECISION_HINT": "bf16" if lower else "f32", "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
        return OpenVINOEncoder(checkpoint.spec, core.compile_model(model, "CPU", options), pad_id=checkpoint.pad_id)

    urgent = encoder(1, max(1, threads // 2))
    _encode(urgent, [[checkpoint.pad_id]])
    with ThreadPoolExecutor(max_workers=1, initializer=_step_back) as stepped_back:
        steady = stepped_back.submit(encoder, threads, threads).result()
    return Engines(Engine(urgent, streams=1), Engine(steady, streams=threads), precision)


def _step_back() -> None:
    """Make this thread, and those that it starts, yield to the process's others."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _BULK_NICENESS)


def _least_cosine(engine: Engine, reference: Reference) -> float:
    """How far the engine's vectors of the probes are from the reference's, alone and beside longer texts."""

    def least(batch_size: int) -> float:
        batches = [reference.probes[first : first + batch_size] for first in range(0, len(reference.probes), batch_size)]
        vectors = np.concatenate([_encode(engine.encoder, batch) for batch in batches])
        return float(cosines(vectors, reference.vectors).min())

    return min(least(batch_size) for batch_size in (1, _TEXTS_TOGETHER))


def _encode(encoder: Encoder[Any, Any], batch: Sequence[TokenIds]) -> Vectors:
    return encoder.encode_post(encoder.encode_core(encoder.encode_pre(batch)))
