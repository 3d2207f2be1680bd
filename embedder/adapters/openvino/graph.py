"""The model as an OpenVINO graph, kept on disk so that only a model's first start converts it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino
import structlog

from embedder.adapters.transformers.checkpoint import Checkpoint
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import TokenIds, Vectors

log = structlog.get_logger()
# Part of the key: raise it when a graph is made or kept in another way.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model's own network, run by PyTorch in float32, makes of the probe texts.

    Shapes:
        vectors: (probes, dim).
    """

    probes: Sequence[TokenIds]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Graph:
    """A converted model and what it has to agree with."""

    model: openvino.Model
    reference: Reference


def load_graph(checkpoint: Checkpoint, tokenizer: FastTokenizer, cache_folder: Path, *, threads: int) -> Graph:
    """The kept graph, or a new one, which is then kept. Blocking: a tenth of a second, or seconds with PyTorch.

    A folder that cannot be read or written costs time at each start and nothing else.

    Raises:
        CheckpointError: the weights cannot be loaded.
        OpenVINOError: OpenVINO cannot run this kind of model.
        SelfTestError: the model's vectors are wrong before any conversion.
    """
    folder = cache_folder / _key(checkpoint)
    if folder.exists():
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            log.warning("kept_graph_unreadable", folder=str(folder), error=type(error).__name__)
            shutil.rmtree(folder, ignore_errors=True)
    # PyTorch takes seconds to import and hundreds of megabytes; a kept graph does without.
    from embedder.adapters.openvino.conversion import convert  # noqa: PLC0415

    model, reference = convert(checkpoint, tokenizer, threads=threads)
    graph = Graph(model, reference)
    try:
        _keep(graph, folder)
    except OSError as error:
        log.warning("graph_not_kept", folder=str(folder), error=type(error).__name__)
    return graph


def _key(checkpoint: Checkpoint) -> str:
    """Changes with everything that a graph is made of."""
    versions = [importlib.metadata.version(package) for package in ("openvino", "transformers")]
    made_of = "\0".join([checkpoint.revision, *versions, str(_FORMAT)])
    return f"{checkpoint.name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def _read(folder: Path) -> Graph:
    with np.load(folder / "reference.npz", allow_pickle=False) as kept:
        probes = [ids.tolist() for ids in np.split(kept["ids"], np.cumsum(kept["lengths"])[:-1])]
        reference = Reference(probes, kept["vectors"])
    return Graph(openvino.Core().read_model(folder / "model.xml"), reference)


def _keep(graph: Graph, folder: Path) -> None:
    """Write beside ``folder`` and move into place, so that no other start ever sees half a graph. The first of several starts wins."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    unfinished.mkdir(parents=True)
    try:
        openvino.save_model(graph.model, unfinished / "model.xml", compress_to_fp16=False)
        probes = graph.reference.probes
        np.savez(
            unfinished / "reference.npz",
            ids=np.concatenate([np.asarray(ids, dtype=np.int64) for ids in probes]),
            lengths=np.asarray([len(ids) for ids in probes]),
            vectors=graph.reference.vectors,
        )
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
