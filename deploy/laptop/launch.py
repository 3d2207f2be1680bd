"""Starting, finding and stopping the supervisor from outside of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from deploy.laptop.child import ProcessIdentity, last_lines, open_log
from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.ports import check_ports
from deploy.laptop.postgres import EmbeddedPostgres
from deploy.laptop.report import StackReport
from deploy.laptop.settings import LaptopSettings, port_name

# Every level of the stack may take its own half minute to end what it has begun.
STOP_SECONDS = 120.0
_ORPHAN_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Launched:
    """A supervisor that was just started; `report` follows it."""

    home: Home
    process: subprocess.Popen[bytes]

    def report(self) -> StackReport | None:
        """Its report; None before it has written one.

        Raises:
            LaptopError: it has ended.
        """
        if self.process.poll() is not None:
            tail = "\n".join(last_lines(self.home.log("supervisor"), 12))
            raise LaptopError("SUPERVISOR_ENDED", f"The supervisor ended with status {self.process.returncode}:\n{tail}")
        report = StackReport.read(self.home.report)
        return report if report is not None and report.supervisor.pid == self.process.pid else None


def launch(home: Home, settings: LaptopSettings) -> Launched:
    """Start a supervisor over ``home``, in a session of its own, and return at once.

    What an earlier one left running is stopped first.

    Raises:
        LaptopError: a port is taken, or the home cannot be written.
    """
    home.create()
    stop_orphans(home)
    check_ports(settings.ports)
    ports = {port_name(service): str(port) for service, port in settings.ports.items()}
    passed_on = {name: value for variables in settings.passed_on.values() for name, value in variables.items()}
    command = [sys.executable, "-P", "-m", "deploy.laptop", str(home.path)]
    return start_supervisor(home, command, {**settings.environment, **passed_on, **ports})


def start_supervisor(home: Home, command: Sequence[str], environment: Mapping[str, str]) -> Launched:
    """Run ``command`` as the supervisor of ``home``."""
    with open_log(home.log("supervisor")) as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # Until the supervisor writes its own, so that it can be found, and stopped, from its first moment.
    StackReport(str(home.path), "", ProcessIdentity.of(process.pid), {}, {}).write(home.report)
    return Launched(home, process)


def running_report(home: Home) -> StackReport | None:
    """The report of the supervisor that runs over ``home``; None when none does."""
    report = StackReport.read(home.report)
    return report if report is not None and report.supervisor.find() is not None else None


def stop(home: Home, *, progress: Callable[[StackReport], None] = lambda _: None) -> bool:
    """Stop the stack gracefully, also one whose supervisor was killed. ``progress`` is called while it goes on.

    Returns:
        Whether anything ran.

    Blocking: yes, until everything has ended; at most about two minutes.
    """
    report = running_report(home)
    if report is None:
        return stop_orphans(home)
    supervisor = report.supervisor.find()
    if supervisor is not None:
        _signal(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while report.supervisor.find() is not None:
            if time.monotonic() > deadline:
                _signal(supervisor, signal.SIGKILL)
                break
            progress(StackReport.read(home.report) or report)
            time.sleep(_POLL_SECONDS)
    stop_orphans(home)
    return True


def orphans(home: Home) -> list[ProcessIdentity]:
    """Processes of a stack whose supervisor is gone; a process that merely has the number of one is not among them."""
    report = StackReport.read(home.report)
    if report is None or report.supervisor.find() is not None:
        return []
    return [identity for identity in report.processes() if identity.find() is not None]


def stop_orphans(home: Home) -> bool:
    """Stop what a killed supervisor left running; whether there was anything."""
    found = [process for identity in orphans(home) if (process := identity.find()) is not None]
    postgres = EmbeddedPostgres(home.postgres)
    daemon = postgres.pid is not None and running_report(home) is None
    if daemon:
        postgres.stop()
    for process in found:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=_ORPHAN_STOP_SECONDS)
    for process in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # each leads a group that its own children are in
    psutil.wait_procs(alive, timeout=_ORPHAN_STOP_SECONDS)
    return bool(found) or daemon


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # psutil makes sure that the number was not given to another process
    except psutil.NoSuchProcess:
        return
