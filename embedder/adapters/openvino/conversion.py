"""From PyTorch to OpenVINO."""

from __future__ import annotations

import warnings

import numpy as np
import openvino
import torch

from embedder.adapters.openvino import OpenVINOError
from embedder.adapters.openvino.graph import Reference
from embedder.adapters.openvino.probes import PROBES
from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.encoder import PaddedBatch
from embedder.adapters.transformers.loading import load_reference
from embedder.adapters.transformers.network import SentenceNetwork
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task

# Long enough to show what length does to a model, short enough for the start of one with a window of thousands of tokens.
_LONGEST_PROBE_TOKENS = 512


def convert(checkpoint: Checkpoint, tokenizer: FastTokenizer, *, threads: int) -> tuple[openvino.Model, Reference]:
    """Trace the network into a graph of any batch size and length, and keep what the network itself makes of the probes.

    Blocking: seconds.

    Raises:
        CheckpointError: the weights cannot be loaded.
        OpenVINOError: the network does something that has no counterpart.
        SelfTestError: the network's own vectors are wrong.
    """
    encoder, _ = load_reference(checkpoint, tokenizer, device="cpu", threads=threads)
    probes = [ids[:_LONGEST_PROBE_TOKENS] for ids in tokenizer.tokenize(PROBES, Task.PASSAGE)]
    alone = [encoder.encode_post(encoder.encode_core(encoder.encode_pre([ids]))) for ids in probes]
    try:
        model = trace(encoder.network, encoder.encode_pre(probes[:3]))
    except Exception as error:
        reason = str(error).partition("\n")[0]
        message = f"OpenVINO cannot convert {checkpoint.name}; run it with LECTERN_EMBEDDER_ENGINE=torch. It says: {reason}"
        raise OpenVINOError(message) from error
    return model, Reference(probes, np.concatenate(alone))


def trace(network: SentenceNetwork, example: PaddedBatch) -> openvino.Model:
    """The graph of what ``network`` does to a batch like ``example``, with the batch's sizes left open."""
    with torch.inference_mode(), warnings.catch_warnings():
        # Tracing warns of every comparison of shapes in the network; the comparison with the reference shows whether one mattered.
        warnings.simplefilter("ignore")
        return openvino.convert_model(network, example_input={"ids": example.ids, "mask": example.mask})
