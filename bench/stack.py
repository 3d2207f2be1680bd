"""A laptop stack for a benchmark, started as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ports import free_port
from lectern_client import Lectern

_SERVICES = ("gateway", "ingestor", "embedder", "generator", "milvus")


@contextmanager
def laptop_stack(home: Path) -> Iterator[Lectern]:
    """Start a stack in ``home`` on free ports and yield a client of its operator; stop it afterwards.

    Raises:
        CalledProcessError: it did not start; the supervisor has said why.
    """
    ports = {name: free_port() for name in _SERVICES}
    settings = {f"LECTERN_PORT_{name.upper()}": str(port) for name, port in ports.items()}
    environment = os.environ | settings | {"LECTERN_HOME": str(home)}
    lectern = [sys.executable, "-m", "lectern_cli"]
    try:
        subprocess.run([*lectern, "up", "--detach"], env=environment, check=True, stdout=subprocess.DEVNULL)
        with Lectern(f"http://127.0.0.1:{ports['gateway']}", (home / "admin.key").read_text().strip()) as client:
            yield client
    finally:
        subprocess.run([*lectern, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)
