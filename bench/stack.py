"""A laptop stack for a benchmark, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.ports import free_port
from lectern_client import Lectern

_SERVICES = ("gateway", "ingestor", "embedder", "generator", "milvus")


@dataclass(frozen=True, slots=True)
class LaptopStack:
    """A running stack.

    Attributes:
        client: of its operator.
        processes: the one of each service, by name.
    """

    client: Lectern
    processes: Mapping[str, psutil.Process]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each service has used so far, with the processes that it has started."""
        return {name: _cpu_seconds(process) for name, process in self.processes.items()}


@contextmanager
def laptop_stack(home: Path) -> Iterator[LaptopStack]:
    """Start a stack in ``home`` on free ports; stop it afterwards.

    Raises:
        CalledProcessError: it did not start; the supervisor has said why.
    """
    ports = {name: free_port() for name in _SERVICES}
    settings = {f"LECTERN_PORT_{name.upper()}": str(port) for name, port in ports.items()}
    environment = os.environ | settings | {"LECTERN_HOME": str(home)}
    lectern = [sys.executable, "-m", "lectern_cli"]
    try:
        subprocess.run([*lectern, "up", "--detach"], env=environment, check=True, stdout=subprocess.DEVNULL)
        status = subprocess.run([*lectern, "status", "--json"], env=environment, check=True, capture_output=True)
        services = json.loads(status.stdout)["services"]
        processes = {name: psutil.Process(service["pid"]) for name, service in services.items() if service["pid"]}
        with Lectern(f"http://127.0.0.1:{ports['gateway']}", (home / "admin.key").read_text().strip()) as client:
            yield LaptopStack(client, processes)
    finally:
        subprocess.run([*lectern, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            own = child.cpu_times()
            total += own.user + own.system
    return float(total)
