"""Runs the model through OpenVINO: on a CPU several times as fast as through PyTorch, at the same quality."""

import importlib.util
import sys

# On its first import OpenVINO would report that to its maker through a package of this name, and does without where there is none.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # how Python is told that a package is not to be found


class OpenVINOError(Exception):
    """OpenVINO is missing, or cannot run this kind of model; the text says which and what to do."""


def is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None
