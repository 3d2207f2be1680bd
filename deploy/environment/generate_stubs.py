"""Generate the typed Python stubs beside the protos.

``--check`` generates into a temporary folder instead and fails when the committed stubs differ.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[2] / "protos"
STUB_ENDINGS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def generate(target: Path) -> None:
    """Write the stubs of every proto below ``protos/`` into ``target``, in the same folders."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={options}{target}" for kind, options in PLUGINS.items()]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise SystemExit("protoc failed; its message is above.")


PLUGINS = {"python": "", "grpc_python": "", "mypy": "", "mypy_grpc": ""}


def stubs(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*_pb2*") if path.name.endswith(STUB_ENDINGS)}


def differences() -> list[str]:
    """Stubs that are missing, left over or out of date."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        both = stubs(fresh) | stubs(PROTOS)
        return sorted(str(path) for path in both if not same(fresh / path, PROTOS / path))


def same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def main() -> int:
    if shutil.which("protoc-gen-mypy") is None:
        print("protoc-gen-mypy is not on PATH. Activate the dev environment: `make setup`, then `. .venv/bin/activate`.", file=sys.stderr)
        return 2
    if sys.argv[1:] == ["--check"]:
        stale = differences()
        for path in stale:
            print(f"out of date: protos/{path}", file=sys.stderr)
        if stale:
            print("Run `make proto` and commit the result.", file=sys.stderr)
        return 1 if stale else 0
    generate(PROTOS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
