"""Write one hashed requirements file per service environment.

The files carry no index addresses, so that they install from whichever package index the reader's pip is set up for. The packages that only
torch's CUDA build loads stand in a file of their own, which `deploy.environment.install` adds when the installed build asks for them.
"""

from __future__ import annotations

import re
import subprocess
import sys
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
CUDA_ONLY = re.compile(r"^(nvidia-|cuda-|triton)")
HEADER = "# Locked by `make lock`. Install with: pip install --require-hashes --no-deps -r {name}.txt\n"


def compile_environment(extras: tuple[str, ...]) -> list[str]:
    """Resolve ``extras`` for every platform; one block of lines per package, hashes included."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    command += ["--constraints", "requirements/constraints.txt"]
    for extra in extras:
        command += ["--extra", extra]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [block for block in re.split(r"\n(?=\S)", output.strip()) if block]


def main() -> int:
    cuda: dict[str, str] = {}
    for name, extras in ENVIRONMENTS.items():
        blocks = compile_environment(extras)
        for block in blocks:
            if CUDA_ONLY.match(block):
                cuda[block.split("==")[0]] = block
        kept = [block for block in blocks if not CUDA_ONLY.match(block)]
        (FOLDER / f"{name}.txt").write_text(HEADER.format(name=name) + "\n".join(kept) + "\n")
        print(f"{name}: {len(kept)} packages")
    (FOLDER / "cuda.txt").write_text(HEADER.format(name="cuda") + "\n".join(cuda[key] for key in sorted(cuda)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
