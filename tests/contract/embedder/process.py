"""An embedder as its callers meet it: a process of its own, spoken to over a socket."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.rpc.caller_signing import CallerSigner
from tests.conftest import free_port

ROOT = Path(__file__).parents[3]
INDEX_SERVICE = "lectern.embedder.v1.IndexService"
EMBEDDING_SERVICE = "lectern.embedder.v1.EmbeddingService"


class EmbedderProcess:
    """A running ``python -m embedder``, or another command that becomes one."""

    def __init__(self, folder: Path, milvus_uri: str, *, command: Sequence[str] = ("-m", "embedder"), **environment: str) -> None:
        key = secrets.token_hex(32)
        self.key = key
        self.signer = CallerSigner(key.encode())
        self.target = f"127.0.0.1:{free_port()}"
        self.log = folder / f"embedder-{secrets.token_hex(4)}.log"
        named = {"LISTEN": self.target, "MILVUS_URI": milvus_uri, "THREADS": "2"} | environment
        settings = {f"LECTERN_EMBEDDER_{name}": value for name, value in named.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=os.environ | settings | {"LECTERN_INTERNAL_KEY": key, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"},
                stderr=log,
            )

    def wait_until(self, *, serving: bool, service: str = "", seconds: float = 90) -> None:
        """Return when the health of ``service`` is as wanted; fail when it does not become so in time."""
        ends = time.monotonic() + seconds
        with grpc.insecure_channel(self.target, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)  # the stub's methods are made at run time
            while time.monotonic() < ends:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5, wait_for_ready=True).status
                except grpc.RpcError:
                    continue
                if (status == health_pb2.HealthCheckResponse.SERVING) is serving:
                    return
                time.sleep(0.05)  # health can be watched, but a watch does not end when its process does
        raise AssertionError(f"{service or 'the embedder'} did not become {'' if serving else 'not '}serving:\n{self.log.read_text()}")

    def stop(self) -> int:
        """Ask the process to end, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@contextmanager
def running(folder: Path, milvus_uri: str, **environment: str) -> Iterator[EmbedderProcess]:
    """An embedder that serves, until the context is left."""
    embedder = EmbedderProcess(folder, milvus_uri, **environment)
    try:
        embedder.wait_until(serving=True)
        yield embedder
    finally:
        embedder.close()
