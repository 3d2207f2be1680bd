from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.laptop.child import ProcessIdentity
from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.launch import launch, orphans, running_report, stop
from deploy.laptop.report import ServiceReport, StackReport, State
from deploy.laptop.settings import LaptopSettings
from tests.conftest import free_port

Sleeper = Callable[[str], subprocess.Popen[bytes]]
GRACEFUL = """
import os, signal, time
def end(*_):
    os.write(1, b"ended as asked")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""
DEAF = GRACEFUL.replace("signal.SIGTERM, end", "signal.SIGTERM, signal.SIG_IGN")


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    """Starts programmes that lead a group of their own, as the supervisor's children do."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-S", "-E", "-c", script], stdout=subprocess.PIPE, process_group=0)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def dead_identity() -> ProcessIdentity:
    with subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        return ProcessIdentity.of(process.pid)


def last_words(process: subprocess.Popen[bytes]) -> bytes:
    """What it printed before it ended; it must have ended."""
    assert not psutil.pid_exists(process.pid)
    assert process.stdout is not None
    return process.stdout.read().strip()


def leave_behind(home: Home, *processes: ProcessIdentity, supervisor: ProcessIdentity) -> None:
    """Write what a supervisor would have reported before it was killed."""
    services = {f"service-{number}": ServiceReport(log="", state=State.READY, process=process) for number, process in enumerate(processes)}
    StackReport(str(home.path), "http://test", supervisor, services, {}).write(home.report)


def test_down_ends_what_a_killed_supervisor_left_behind(home: Home, sleeper: Sleeper) -> None:
    graceful = sleeper(GRACEFUL)
    leave_behind(home, ProcessIdentity.of(graceful.pid), supervisor=dead_identity())
    assert running_report(home) is None
    assert len(orphans(home)) == 1
    assert stop(home)
    assert last_words(graceful) == b"ended as asked"
    assert orphans(home) == []


def test_an_orphan_that_does_not_listen_is_killed(home: Home, sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.laptop.launch._ORPHAN_STOP_SECONDS", 0.3)
    deaf = sleeper(DEAF)
    leave_behind(home, ProcessIdentity.of(deaf.pid), supervisor=dead_identity())
    assert stop(home)
    assert last_words(deaf) == b""


def test_a_stranger_that_has_the_number_of_a_dead_child_is_left_alone(home: Home, sleeper: Sleeper) -> None:
    stranger = sleeper(GRACEFUL)
    earlier = ProcessIdentity(stranger.pid, psutil.Process(stranger.pid).create_time() - 100)
    leave_behind(home, earlier, supervisor=dead_identity())
    assert not stop(home)
    assert stranger.poll() is None


def test_a_stranger_that_has_the_number_of_a_dead_supervisor_does_not_count_as_one(home: Home, sleeper: Sleeper) -> None:
    stranger = sleeper(GRACEFUL)
    leave_behind(home, supervisor=ProcessIdentity(stranger.pid, 1.0))
    assert running_report(home) is None
    assert not stop(home)
    assert stranger.poll() is None


def test_down_ends_the_supervisor_first_and_waits_for_it(home: Home, sleeper: Sleeper) -> None:
    supervisor = sleeper(GRACEFUL)
    leave_behind(home, supervisor=ProcessIdentity.of(supervisor.pid))
    assert running_report(home) is not None
    assert stop(home)
    assert supervisor.wait(5) == 0
    assert last_words(supervisor) == b"ended as asked"
    assert running_report(home) is None


def test_down_where_nothing_ran_says_so(home: Home) -> None:
    assert not stop(home)


def test_a_taken_port_stops_a_launch_before_anything_has_started(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = {"gateway": taken, **{name: free_port() for name in ("ingestor", "embedder", "generator", "milvus")}}
        home = Home(tmp_path / "home")
        with pytest.raises(LaptopError) as refused:
            launch(home, LaptopSettings.load({}, ports=ports))
    assert refused.value.reason == "PORT_TAKEN"
    assert f"Port {taken} (gateway)" in refused.value.message
    assert f"(process {os.getpid()})" in refused.value.message
    assert "LECTERN_PORT_GATEWAY=" in refused.value.message
    assert not home.report.exists()


def test_a_home_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LaptopError) as refused:
        Home(tmp_path / "file" / "home").create()
    assert refused.value.reason == "HOME_NOT_WRITABLE"
    assert "LECTERN_HOME" in refused.value.message
