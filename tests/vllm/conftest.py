"""A generator in vLLM's own environment, with a tiny model in it: started once, spoken to over gRPC as its callers do."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lectern.generator.v1 import generation_pb2_grpc
from shared.caller import Caller
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel
from tests.conftest import free_port

if TYPE_CHECKING:
    Stub = generation_pb2_grpc.GenerationServiceAsyncStub

ROOT = Path(__file__).parents[2]
SERVICE = "lectern.generator.v1.GenerationService"
# The first start in an environment compiles every module of vLLM and torch.
START_SECONDS = 400
PYTHON_NAME = "LECTERN_TEST_VLLM_PYTHON"
# An answer of full length takes the engine far longer than a test looks at it.
CONTEXT_TOKENS, ANSWER_TOKENS = 4096, 28_000
MAX_RUNNING, MAX_CONCURRENT = 4, 8


class GeneratorProcess:
    """A running ``python -m generator`` of vLLM's environment."""

    def __init__(self, python: Path, folder: Path, models: str) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.metrics_port = free_port()
        self.log = folder / "generator.log"
        self.states_on_the_way: list[str] = []
        self.key = secrets.token_hex(32)
        environment = os.environ | {
            "LECTERN_INTERNAL_KEY": self.key,
            "LECTERN_GENERATOR_LISTEN": self.target,
            "LECTERN_GENERATOR_METRICS_PORT": str(self.metrics_port),
            "LECTERN_GENERATOR_MODELS": models,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([python, "-m", "generator"], cwd=ROOT, env=environment, stdout=log, stderr=log)

    def health(self, channel: grpc.Channel) -> str:
        """What the service says of itself; ``UNREACHABLE`` when it says nothing."""
        health: Any = health_pb2_grpc.HealthStub(channel)  # the stub's methods are made at run time
        try:
            status = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5).status
        except grpc.RpcError:
            return "UNREACHABLE"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))

    def wait_until_serving(self) -> list[str]:
        """Return when the model is warm, with the different states that were seen on the way."""
        seen: list[str] = []
        ends = time.monotonic() + START_SECONDS
        with grpc.insecure_channel(self.target, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            while time.monotonic() < ends:
                assert self.process.poll() is None, self.log.read_text()
                state = self.health(channel)
                if state not in seen:
                    seen.append(state)
                if state == "SERVING":
                    return seen
                time.sleep(0.1)  # health can be watched, but a watch does not end when its process does
        raise AssertionError(f"the generator did not become serving; seen: {seen}\n{self.log.read_text()}")

    def statistic(self, name: str) -> float:
        """The sum of vLLM's own metric ``name`` as the engine last reported it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as page:
            text = page.read().decode()
        values = re.findall(rf"^{re.escape(name)}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
        assert values, f"vLLM reports no {name}"
        return sum(map(float, values))

    def engine_process(self) -> int:
        """Id of the process that runs the model."""
        listed = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="], capture_output=True, text=True, check=True)
        engines = [line.split()[0] for line in listed.stdout.splitlines() if "EngineCore" in line]
        assert len(engines) == 1, listed.stdout
        return int(engines[0])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            finally:
                self.process.kill()


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of vLLM's environment."""
    python = Path(os.environ.get(PYTHON_NAME, ROOT / ".venv-vllm" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"There is no {python}. `make test-vllm` makes vLLM's environment; {PYTHON_NAME} names another one.")
    return python


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Costs seconds, and this file is read by every run that only looks for tests.
    from tests.vllm.tiny_qwen import make_tiny_qwen  # noqa: PLC0415

    return make_tiny_qwen(tmp_path_factory.mktemp("tiny-qwen"))


@contextmanager
def running(python: Path, folder: Path, models: str) -> Iterator[GeneratorProcess]:
    process = GeneratorProcess(python, folder, models)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="session")
def generator(vllm_python: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratorProcess]:
    """One generator for all tests; whoever breaks it comes last."""
    model = {"name": "tiny", "engine": "vllm", "model": str(tiny_model), "dtype": "float32", "cpu_cache_gib": 1, "check_seconds": 2}
    bounds = {
        "context_tokens": CONTEXT_TOKENS,
        "answer_tokens": ANSWER_TOKENS,
        "max_running": MAX_RUNNING,
        "max_concurrent": MAX_CONCURRENT,
    }
    models = json.dumps([model | bounds])
    with running(vllm_python, tmp_path_factory.mktemp("generator"), models) as process:
        process.states_on_the_way = process.wait_until_serving()
        yield process


@pytest.fixture
async def stub(generator: GeneratorProcess) -> AsyncIterator[Stub]:
    async with open_channel(generator.target, CallerSigner(generator.key.encode())) as channel:
        with acting_for(Caller("org", "service:test")):
            yield generation_pb2_grpc.GenerationServiceStub(channel)
