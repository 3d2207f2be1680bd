"""Install one locked environment into the running interpreter's virtual environment.

Run with the interpreter of the environment to fill: ``.venv/bin/python deploy/environment/install.py dev``.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"


def pip_install(*arguments: str, check: bool = True) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-deps", *arguments]
    subprocess.run(command, cwd=ROOT, check=check, stderr=None if check else subprocess.DEVNULL)


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
    locked = FOLDER / f"{name}.txt"
    if not locked.is_file():
        names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem not in {"constraints", "cuda", "torch-cpu"}))
        print(f"There is no environment called {name!r}. Choose one of: {names}.", file=sys.stderr)
        return 2
    if prefer_cpu_torch() and "\ntorch==" in locked.read_text():
        pip_install("--require-hashes", "--requirement", str(FOLDER / "torch-cpu.txt"), check=False)
    pip_install("--require-hashes", "--requirement", str(locked))
    importlib.invalidate_caches()
    if torch_needs_cuda():
        pip_install("--require-hashes", "--requirement", str(FOLDER / "cuda.txt"))
    pip_install("--editable", ".")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "laptop"))
