"""Gateway and generator as processes before a scripted model, and readers of their streams that check every token."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

import bench.search_path  # noqa: F401  # before all that imports a service
from bench.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 120.0
_TOKEN = re.compile(r"s(\d+)t(\d+)u(\d+)")
_GAUGE = r"^{} (\d+)"


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where it can be asked about itself."""

    url: str
    key: str
    processes: dict[str, psutil.Process]
    model_url: str
    metrics_urls: dict[str, str]

    def left_running(self) -> dict[str, int]:
        """What is in work now, by where."""
        return {
            "gateway's requests": self._gauge("gateway", "lectern_http_in_work") - 1,  # the one that asks
            "generator's answers": self._gauge("generator", "lectern_generator_answers_in_flight"),
            "model's answers": int(_read(f"{self.model_url}/open")),
        }

    def open_files(self) -> dict[str, int]:
        """Open files and sockets of the two services."""
        return {name: self.processes[name].num_fds() for name in ("gateway", "generator")}

    def _gauge(self, service: str, name: str) -> int:
        found = re.search(_GAUGE.format(name), _read(self.metrics_urls[service]), re.MULTILINE)
        assert found, f"{service} has no {name}"
        return int(found.group(1))


@contextmanager
def running(database_url: str, folder: Path, *, tokens: int, tokens_per_second: float) -> Iterator[Stack]:
    """Gateway, generator and what stands behind them, until the context is left. The database must have the gateway's schema."""
    model, library, generator, gateway, metrics = (free_port() for _ in range(5))
    key = f"lk_operator1_{secrets.token_hex(24)}"
    common = os.environ | {
        "LECTERN_INTERNAL_KEY": secrets.token_hex(32),
        "LECTERN_LOG_LEVEL": "warning",
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "protos", "clients/python")),
    }
    target = f"127.0.0.1:{library}"
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "model": (["bench/scripted_model.py", str(model), str(tokens), str(tokens_per_second)], {}),
        "library": (["bench/scripted_library.py", str(library)], {}),
        "generator": (
            ["-m", "generator"],
            {
                "LECTERN_GENERATOR_LISTEN": f"127.0.0.1:{generator}",
                "LECTERN_GENERATOR_METRICS_PORT": str(metrics),
                "LECTERN_GENERATOR_OPENAI__BASE_URL": f"http://127.0.0.1:{model}/v1",
                "LECTERN_GENERATOR_OPENAI__MODEL": "scripted",
            },
        ),
        "gateway": (
            ["-m", "gateway"],
            {
                "LECTERN_GATEWAY_LISTEN": f"127.0.0.1:{gateway}",
                "LECTERN_GATEWAY_DATABASE_URL": database_url,
                "LECTERN_GATEWAY_INGESTOR_TARGET": target,
                "LECTERN_GATEWAY_EMBEDDER_TARGET": target,
                "LECTERN_GATEWAY_GENERATOR_TARGET": f"127.0.0.1:{generator}",
                "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": key,
            },
        ),
    }
    url = f"http://127.0.0.1:{gateway}"
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(_process(folder / f"{name}.log", arguments, common | settings))
            for name, (arguments, settings) in commands.items()
        }
        stack_of_it = Stack(
            url,
            key,
            started,
            f"http://127.0.0.1:{model}",
            {"gateway": f"{url}/metrics", "generator": f"http://127.0.0.1:{metrics}/metrics"},
        )
        _wait_until_ready(stack_of_it, folder)
        yield stack_of_it


@contextmanager
def _process(log: Path, arguments: list[str], environment: dict[str, str]) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(stack: Stack, folder: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while True:
        for name, process in stack.processes.items():
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise RuntimeError(f"{name} ended:\n{(folder / f'{name}.log').read_text()}")
        try:
            _read(f"{stack.url}/readyz")
            _read(f"{stack.model_url}/open")
        except (OSError, URLError):
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)  # polls other processes
        else:
            return


def _read(url: str) -> str:
    with urlopen(url, timeout=20) as response:  # noqa: S310  # our own address
        return str(response.read().decode())


@dataclass(slots=True)
class Reading:
    """What a reader of one stream saw. Seconds; delays are from the model's sending of a token to its arrival here.

    Attributes:
        first_event: from the request to the first event, which says what was found.
        wrong: what came where another token should have been; empty: nothing.
    """

    first_event: float = 0.0
    delays: list[float] = field(default_factory=list)
    tokens: int = 0
    wrong: str = ""
    last_event: str = ""


async def read_stream(stack: Stack, number: int, tokens: int) -> Reading:
    """Ask, read to the end and compare every token."""
    reading, text = Reading(), ""
    started = time.monotonic()
    async for event, data in _events(stack, number):
        reading.first_event = reading.first_event or time.monotonic() - started
        reading.last_event = event
        if event == "delta":
            arrived, new = time.monotonic_ns() // 1000, json.loads(data)["text"]
            text += new
            reading.delays += [(arrived - int(sent)) / 1e6 for _, _, sent in _TOKEN.findall(new)]
    found = [(int(stream), int(token)) for stream, token, _ in _TOKEN.findall(text)]
    wanted = [(number, token) for token in range(tokens)]
    reading.tokens = len(found)
    if found != wanted or _TOKEN.sub("", text).strip() != "[1].":
        reading.wrong = f"stream {number} has {len(found)} tokens of {tokens} and ends with {text[-80:]!r}"
    return reading


async def leave_stream(stack: Stack, number: int, deltas: int) -> None:
    """Ask, and close the connection after ``deltas`` pieces of the answer."""
    seen = 0
    async for event, _ in _events(stack, number):
        seen += event == "delta"
        if seen >= deltas:
            return


async def _events(stack: Stack, number: int) -> AsyncIterator[tuple[str, str]]:
    """The events of one answer over a connection of its own, as cheaply as Python can: the reader must not be what is measured."""
    host, port = stack.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        body = json.dumps({"question": f"Stream {number}: what reaches its reader?", "stream": True}).encode()
        head = f"POST /api/v1/ask HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {stack.key}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"stream {number}: {status.decode().strip()}")
        name = ""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                yield name, line[6:].decode()
                if name in {"complete", "error"}:
                    return
    finally:
        writer.transport.abort()
