"""`lectern up` in the foreground, over a stack of one tiny service: what ends it ends everything that it started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.laptop.home import Home
from deploy.laptop.launch import running_report
from deploy.laptop.report import StackReport
from tests.unit.laptop.conftest import Programmes, Until

ROOT = Path(__file__).resolve().parents[3]
SUPERVISOR = """
import asyncio, signal, sys
from pathlib import Path
from deploy.laptop.home import Home
from deploy.laptop.supervisor import Supervisor
from tests.unit.laptop.conftest import FAST, Programmes

async def run():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    spec = Programmes(Path(sys.argv[2])).service("api")
    await Supervisor(Home(Path(sys.argv[1])), "http://tiny", [spec], pace=FAST).run(asked)

asyncio.run(run())
"""
UP = f"""
import os, sys
from pathlib import Path
from rich.console import Console
from deploy.laptop import foreground
from deploy.laptop.home import Home
from deploy.laptop.launch import start_supervisor

def launch_tiny(home, settings):
    return start_supervisor(home, [sys.executable, "-c", {SUPERVISOR!r}, *sys.argv[1:3]], dict(os.environ))

foreground.launch = launch_tiny
home, console = Home(Path(sys.argv[1])), Console(file=sys.stdout, width=300)
try:
    if sys.argv[3] == "foreground":
        foreground.run_in_foreground(home, None, console, timeout_seconds=60, announce=lambda started: print("announced", flush=True))
    else:
        foreground.bring_up(home, None, console, timeout_seconds=60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Up:
    """A `lectern up` that was started as a process of its own."""

    def __init__(self, home: Home, programmes: Programmes) -> None:
        self.home = home
        self._programmes = programmes
        self._started: list[subprocess.Popen[str]] = []

    def start(self, how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", UP, str(self.home.path), str(self._programmes.folder), how]
        self._started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return self._started[-1]

    def report(self) -> StackReport | None:
        return running_report(self.home)

    def end(self) -> None:
        report = self.report()
        if report is not None:
            psutil.Process(report.supervisor.pid).kill()
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def up(home: Home, programmes: Programmes) -> Iterator[Up]:
    made = Up(home, programmes)
    yield made
    made.end()


def is_healthy(up: Up) -> bool:
    report = up.report()
    return report is not None and report.healthy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_what_ends_it_in_the_foreground_ends_the_stack_gracefully(
    up: Up, until: Until, programmes: Programmes, number: signal.Signals
) -> None:
    process = up.start("foreground")
    await until(lambda: is_healthy(up))
    assert process.stdout is not None
    while "announced" not in (line := process.stdout.readline()):
        assert line, "it ended by itself"
    process.send_signal(number)
    assert process.wait(60) == 0
    assert up.report() is None
    assert programmes.events() == ["api began", "api ended"]


async def test_an_interrupt_while_it_comes_up_ends_what_was_begun(up: Up, until: Until, programmes: Programmes) -> None:
    programmes.say("api", "still loading")
    process = up.start("foreground")
    await until(lambda: "api began" in programmes.events())
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "interrupted" in out
    assert up.report() is None
    assert programmes.events() == ["api began", "api ended"]


async def test_detached_it_goes_on_without_its_starter_and_a_second_one_does_not_own_it(
    up: Up, until: Until, programmes: Programmes
) -> None:
    programmes.say("api", "still loading")
    first = up.start("detached")
    await until(lambda: "api began" in programmes.events())
    impatient, patient = up.start("foreground"), up.start("foreground")
    impatient.send_signal(signal.SIGINT)
    impatient.wait(60)
    programmes.say("api", "ready")
    assert (first.wait(60), patient.wait(60)) == (0, 0)
    assert is_healthy(up)
    assert programmes.events() == ["api began"]
