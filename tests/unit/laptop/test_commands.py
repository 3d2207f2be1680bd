"""`lectern status`, `logs`, `down` and what `up` shows, over reports as a supervisor writes them."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from deploy.laptop.child import ProcessIdentity
from deploy.laptop.doctor import Finding
from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.progress import Display, wait_until_ready
from deploy.laptop.report import ServiceReport, StackReport, State
from lectern_cli.main import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lectern = Callable[..., Ran]


@pytest.fixture
def lectern(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lectern:
    monkeypatch.setenv("LECTERN_HOME", str(home.path))

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["lectern", *arguments])
        try:
            code = main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run


def report(home: Home, **states: State) -> StackReport:
    """A report of this process as the supervisor."""
    me = ProcessIdentity.of(os.getpid())
    services = {
        name: ServiceReport(
            log=str(home.log(name)),
            url=f"http://{name}",
            state=state,
            process=me,
            message="" if state is State.READY else f"{name} is in trouble",
            ready_seconds=1.25,
            log_tail=["the last line"] if state is State.FAILED else [],
        )
        for name, state in states.items()
    }
    return StackReport(str(home.path), "http://127.0.0.1:8080", me, services, {"migrations": ServiceReport(log="", state=State.DONE)})


def test_status_of_a_healthy_stack_is_zero_and_names_every_service(home: Home, lectern: Lectern) -> None:
    report(home, gateway=State.READY, postgres=State.READY).write(home.report)
    ran = lectern("status", "--json")
    assert ran.code == 0
    assert ran.json["healthy"] is True
    assert ran.json["home"] == str(home.path)
    gateway = ran.json["services"]["gateway"]
    assert (gateway["state"], gateway["url"], gateway["pid"], gateway["restarts"]) == ("READY", "http://gateway", os.getpid(), 0)
    assert gateway["since"].startswith("20")
    assert "postgres" in lectern("status").out


@pytest.mark.parametrize("state", [State.ILL, State.FAILED, State.RESTARTING, State.STARTING, State.WAITING])
def test_status_of_an_ill_stack_is_one_and_says_which_service(home: Home, lectern: Lectern, state: State) -> None:
    report(home, gateway=State.READY, embedder=state).write(home.report)
    ran = lectern("status")
    assert ran.code == 1
    assert "embedder is in trouble" in ran.out
    assert lectern("status", "--json").json["healthy"] is False


def test_status_of_a_supervisor_that_has_fallen_silent_is_one(home: Home, lectern: Lectern) -> None:
    stale = report(home, gateway=State.READY)
    stale.write(home.report)
    values = json.loads(home.report.read_text())
    values["written"] = time.time() - 120
    home.report.write_text(json.dumps(values))
    ran = lectern("status")
    assert ran.code == 1
    assert "has not reported" in ran.err


def test_status_of_nothing_is_three(lectern: Lectern) -> None:
    assert lectern("status").code == 3
    ran = lectern("status", "--json")
    assert (ran.code, ran.json["running"], ran.json["healthy"], ran.json["services"]) == (3, False, False, {})
    assert "lectern up" in lectern("status").err


def test_down_of_nothing_says_so(lectern: Lectern) -> None:
    assert "was not running" in lectern("down").out
    assert lectern("down", "--json").json["stopped"] is False


def test_logs_shows_the_last_lines_and_knows_its_services(home: Home, lectern: Lectern) -> None:
    home.log("gateway").write_text("".join(f"line {number}\n" for number in range(100)))
    assert lectern("logs", "gateway", "-n", "2").out == "line 98\nline 99\n"
    assert "gateway" in lectern("logs").out
    unknown = lectern("logs", "gatway")
    assert unknown.code == 1
    assert "There are: gateway" in unknown.err


def test_doctor_prints_json_and_fails_only_for_failures(lectern: Lectern, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.laptop.doctor.examine", lambda _: [Finding("disk", "WARN", "Little room.", "Make room.")])
    assert lectern("doctor", "--json").json["findings"] == [
        {"check": "disk", "level": "WARN", "message": "Little room.", "fix": "Make room."}
    ]
    assert lectern("doctor").code == 0
    monkeypatch.setattr("deploy.laptop.doctor.examine", lambda _: [Finding("disk", "FAIL", "No room.", "Make room.")])
    ran = lectern("doctor")
    assert ran.code == 1
    assert "→ Make room." in ran.out


def test_up_where_everything_runs_says_where_and_ends(home: Home, lectern: Lectern) -> None:
    report(home, gateway=State.READY).write(home.report)
    for arguments in (["up"], ["up", "--detach"]):
        ran = lectern(*arguments)
        assert ran.code == 0
        assert "already running at http://127.0.0.1:8080" in ran.out


@pytest.mark.parametrize("port", ["gateway", "gateway=", "gateway=x", "=1"])
def test_a_port_option_that_cannot_be_read_is_refused(lectern: Lectern, port: str) -> None:
    ran = lectern("up", "--port", port)
    assert ran.code != 0
    assert "port" in ran.err


def plain_console() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=200, highlight=False), written


def test_up_shows_each_service_once_with_the_time_it_took(home: Home) -> None:
    console, written = plain_console()
    coming: Iterator[StackReport | None] = iter(
        [None, report(home, gateway=State.WAITING), report(home, gateway=State.STARTING), *[report(home, gateway=State.READY)] * 2]
    )
    assert wait_until_ready(lambda: next(coming), console, timeout_seconds=10).healthy
    lines = [line.split() for line in written.getvalue().splitlines()]
    assert lines == [["✓", "migrations", "done"], ["✓", "gateway", "ready", "in", "1.2", "s"]]


def test_up_ends_with_the_last_lines_of_a_service_that_keeps_failing(home: Home) -> None:
    console, written = plain_console()
    with pytest.raises(LaptopError) as failed:
        wait_until_ready(lambda: report(home, embedder=State.FAILED), console, timeout_seconds=10)
    assert failed.value.reason == "SERVICE_FAILED"
    assert "the last line" in failed.value.message
    assert str(home.log("embedder")) in failed.value.message
    assert "FAILED: embedder is in trouble" in written.getvalue()


def test_up_gives_up_waiting_in_time_and_names_what_is_late(home: Home) -> None:
    console, _ = plain_console()
    with pytest.raises(LaptopError) as late:
        wait_until_ready(lambda: report(home, gateway=State.READY, embedder=State.STARTING), console, timeout_seconds=0.2)
    assert late.value.reason == "NOT_READY_IN_TIME"
    assert "embedder" in late.value.message
    assert "gateway" not in late.value.message


def test_watching_a_running_stack_tells_only_what_changes(home: Home) -> None:
    console, written = plain_console()
    before = report(home, gateway=State.READY, embedder=State.READY)
    with Display(console, before=before) as display:
        display.show(before)
        display.show(report(home, gateway=State.READY, embedder=State.RESTARTING))
        display.show(before)
    assert [line.split()[1] for line in written.getvalue().splitlines()] == ["embedder", "embedder"]


def test_on_a_terminal_what_is_still_to_come_is_shown_live(home: Home) -> None:
    written = io.StringIO()
    console = Console(file=written, width=120, force_terminal=True)
    with Display(console) as display:
        display.show(report(home, gateway=State.READY, embedder=State.STARTING))
    assert "embedder is in trouble" in written.getvalue()
