"""Tiny real programmes for the supervisor to run, and a way to wait for what it reports."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from deploy.laptop.home import Home
from deploy.laptop.probes import NoAnswerError, NotReadyError, Probe
from deploy.laptop.report import ServiceReport, StackReport
from deploy.laptop.runner import Pace, ServiceSpec
from deploy.laptop.supervisor import Supervisor

FAST = Pace(
    starting_probe_seconds=0.02,
    probe_seconds=0.02,
    first_restart_seconds=0.02,
    slowest_restart_seconds=0.2,
    loop_deaths=3,
    stable_seconds=0.3,
    silent_seconds=2.0,
)
# Answers each connection with the content of its health file: "ready", or what a test has written there.
SERVICE = """
import pathlib, signal, socket, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def say(word):
    with open(folder / "events", "a") as events:
        events.write(f"{name} {word}\\n")
def end(*_):
    say("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
say("began")
print("hello from", name, flush=True)
path, health = folder / f"{name}.socket", folder / f"{name}.health"
path.unlink(missing_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(path))
listener.listen()
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(health.read_bytes() if health.exists() else b"ready")
    except OSError:
        pass  # who asked has gone
    connection.close()
"""


ANSWER_SECONDS = 1.0


class Programmes:
    """Makes specs of programmes whose life and health a test can see and steer through files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def service(self, name: str, *needs: str, stop_seconds: float = 5.0, script: str = SERVICE) -> ServiceSpec:
        """A service that is ready when it answers so."""
        command = [sys.executable, "-S", "-E", "-c", script, str(self.folder), name]

        return ServiceSpec(name, command, {}, self._probe(name), needs=needs, url=f"test://{name}", stop_seconds=stop_seconds)

    def task(self, name: str, script: str, *needs: str) -> ServiceSpec:
        return ServiceSpec(name, [sys.executable, "-S", "-E", "-c", script, str(self.folder), name], {}, None, needs=needs)

    def say(self, name: str, health: str) -> None:
        """Make ``name`` answer with ``health`` from now on."""
        unfinished = self.folder / f"{name}.health.new"
        unfinished.write_text(health)
        unfinished.replace(self.folder / f"{name}.health")

    def events(self) -> list[str]:
        path = self.folder / "events"
        return path.read_text().splitlines() if path.exists() else []

    def _probe(self, name: str) -> Probe:
        async def probe() -> None:
            try:
                reader, writer = await asyncio.open_unix_connection(self.folder / f"{name}.socket")
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        answer = await reader.read()
                finally:
                    writer.close()
            except (OSError, TimeoutError):
                raise NoAnswerError("It does not answer.") from None
            if answer != b"ready":
                raise NotReadyError(answer.decode())

        return probe


@pytest.fixture
def programmes(tmp_path: Path) -> Programmes:
    folder = tmp_path / "programmes"
    folder.mkdir()
    return Programmes(folder)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


Supervised = Callable[..., AbstractAsyncContextManager["Watched"]]


class Watched:
    """A supervisor that runs in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def part(self, name: str) -> ServiceReport:
        report = StackReport.read(self._home.report)
        assert report is not None
        return report.parts[name]

    async def until(self, name: str, holds: Callable[[ServiceReport], bool], seconds: float = 60.0) -> ServiceReport:
        """The report of ``name`` as soon as it is as wanted; fails with what it was when that takes too long."""
        deadline = time.monotonic() + seconds
        while not holds(part := self.part(name)):
            assert time.monotonic() < deadline, f"{name} stayed {part}"
            await asyncio.sleep(0.01)
        return part


@pytest.fixture
def supervised(home: Home) -> Supervised:
    """Runs specs in a supervisor for as long as a test wants."""

    @asynccontextmanager
    async def run(*specs: ServiceSpec, pace: Pace = FAST) -> AsyncIterator[Watched]:
        asked = asyncio.Event()
        running = asyncio.create_task(Supervisor(home, "http://test", specs, pace=pace).run(asked))
        await _written(home)
        try:
            yield Watched(home)
        finally:
            asked.set()
            await running

    return run


async def _written(home: Home) -> None:
    deadline = time.monotonic() + 60
    while StackReport.read(home.report) is None:
        assert time.monotonic() < deadline, "the supervisor wrote no report"
        await asyncio.sleep(0.01)


Until = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits until something holds; fails when that takes too long."""

    async def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, "it never came about"
            await asyncio.sleep(0.01)

    return wait
