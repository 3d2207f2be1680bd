"""The whole stack, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import folder_for_a_server, free_port

ROOT = Path(__file__).resolve().parents[2]
LECTERN = Path(sys.executable).with_name("lectern")
SERVICES = ("gateway", "ingestor", "embedder", "generator", "milvus")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            # Whole stacks take their time on two cores; every wait inside of a test has a bound of its own.
            item.add_marker(pytest.mark.timeout(900))


def eventually(check: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until ``check`` holds, at most ``seconds``."""
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, f"after {seconds:g} s still not: {what}"
        time.sleep(0.1)  # polls another process


@dataclass(frozen=True)
class Organisation:
    """One organisation's view of the API."""

    name: str
    client: httpx.Client

    def create_collection(self, name: str) -> dict[str, Any]:
        response = self.client.post("/api/v1/collections", json={"name": name})
        assert response.status_code == 201, response.text
        return dict(response.json())

    def upload(self, collection: str, name: str, content: bytes, **parameters: str) -> httpx.Response:
        return self.client.post(f"/api/v1/collections/{collection}/documents", files={"file": (name, content)}, params=parameters)

    def batch(self, collection: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        body = "\n".join(json.dumps(entry) for entry in entries).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        response = self.client.post(f"/api/v1/collections/{collection}/documents:batch", content=body, headers=headers)
        assert response.status_code == 202, response.text
        return dict(response.json()["job"])

    def search(self, query: str, **body: Any) -> httpx.Response:
        return self.client.post("/api/v1/search", json={"query": query, **body})

    def wait_for_job(self, job: str, *, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def ended() -> bool:
            try:
                response = self.client.get(f"/api/v1/jobs/{job}")
            except httpx.TransportError:
                return False  # the gateway is being brought back
            if response.status_code == 503:
                return False
            assert response.status_code == 200, response.text
            found.update(response.json())
            return found["state"] in {"SUCCEEDED", "FAILED", "CANCELLED"}

        eventually(ended, seconds=seconds, what=f"job {job} ended")
        return found


@dataclass
class Stack:
    """A running laptop stack."""

    home: Path
    environment: dict[str, str]
    url: str
    clients: list[httpx.Client] = field(default_factory=list)

    def lectern(self, *arguments: str, timeout: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [LECTERN, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check:
            assert done.returncode == 0, f"lectern {' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.lectern("status", "--json", check=False).stdout))

    def pid(self, service: str) -> int:
        return int(self.status()["services"][service]["pid"])

    def is_healthy(self) -> bool:
        return self.lectern("status", "--json", check=False).returncode == 0

    def client(self, key: str) -> httpx.Client:
        """A client that is closed with the stack."""
        self.clients.append(httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=120))
        return self.clients[-1]

    @cached_property
    def operator(self) -> httpx.Client:
        return self.client((self.home / "admin.key").read_text().strip())

    def new_organisation(self, name: str) -> Organisation:
        response = self.operator.post("/api/v1/organisations", json={"name": name})
        assert response.status_code == 201, response.text
        return Organisation(name, self.client(response.json()["api_key"]["key"]))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One stack for all whole-stack tests; each test makes its own organisation in it."""
    with folder_for_a_server() as folder:
        yield from running_stack(folder / "home")


def running_stack(home: Path, **settings: str) -> Iterator[Stack]:
    """A stack of its own, with more ``settings`` by their environment names."""
    ports = {name: free_port() for name in SERVICES}
    named = {f"LECTERN_PORT_{name.upper()}": str(port) for name, port in ports.items()}
    environment = {**os.environ, "LECTERN_HOME": str(home), **named, **settings}
    stack = Stack(home, environment, f"http://127.0.0.1:{ports['gateway']}")
    try:
        stack.lectern("up", "--detach", timeout=180)
        yield stack
    finally:
        stack.lectern("down", timeout=60, check=False)
        for client in stack.clients:
            client.close()


@pytest.fixture
def organisation(stack: Stack, request: pytest.FixtureRequest) -> Organisation:
    """An organisation of this test's own."""
    return stack.new_organisation(request.node.name[:100])
