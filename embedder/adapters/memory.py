"""How much memory models take, how much there is, and how it is given back."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import sys
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/memory.max")
_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


def device_memory_bytes(device: str, limit: Path = _LIMIT) -> int:
    """The memory of a GPU; or of this machine, and no more of it than a container may have.

    Args:
        device: ``cpu``, ``cuda:0``, …
        limit: a control group's ``memory.max``: bytes, or ``max``.
    """
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415  # takes seconds, and a converted model on a CPU does without

        return int(torch.cuda.mem_get_info(device)[1])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        granted = limit.read_text().strip()
    except OSError:
        return machine
    return machine if granted == "max" else min(machine, int(granted))


def count_parameters(folder: Path) -> int:
    """Weights in a folder's safetensors, by their headers alone. A damaged file counts nothing; loading it says what is wrong."""
    return sum(math.prod(shape) for path in folder.glob("*.safetensors") for shape in _shapes(path))


def _shapes(path: Path) -> list[list[int]]:
    """The shape of each tensor of a file, from the JSON header that follows its length in eight bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length)) if length < path.stat().st_size else {}
        except ValueError:
            return []
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]


def held_bytes(parameters: int, precision: str, *, compiled_copies: int) -> int:
    """What a loaded model holds, give or take its activations.

    Args:
        parameters: its weights.
        precision: ``fp32``, ``bf16`` or ``int8``.
        compiled_copies: engines that OpenVINO compiled, each with weights of its own beside the float32 graph that they were made from; 0:
            PyTorch, which has the weights once. Measured with a model of 109 M weights on a CPU: 1.6 GB in fp32 and 0.9 GB in bf16 through
            OpenVINO, where this says 1.3 and 0.9.
    """
    if not compiled_copies:
        return parameters * _BYTES[precision]
    return parameters * (_BYTES["fp32"] + compiled_copies * _BYTES[precision])


def give_back_memory() -> None:
    """Return to the system, or to the GPU, what nothing refers to any more. Blocking: a tenth of a second."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        # The C library keeps freed memory for itself unless it is told; others than GNU's don't know the call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
