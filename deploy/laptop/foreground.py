"""Bringing the stack up and down in front of a person: progress, interrupts, and what to say at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console

from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.launch import launch, running_report, stop
from deploy.laptop.progress import Display, wait_until_ready
from deploy.laptop.report import StackReport
from deploy.laptop.settings import LaptopSettings

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Started:
    """A stack that is ready; ``by_us``: it did not run before."""

    report: StackReport
    by_us: bool


def bring_up(home: Home, settings: LaptopSettings, console: Console, *, timeout_seconds: float) -> Started:
    """Start the stack unless it runs, and wait until it is ready. It outlives this process, also when this is interrupted.

    Args:
        home: its folder.
        settings: used when it is started; one that runs keeps its own.
        console: where progress is shown.
        timeout_seconds: how long to wait at most.

    Raises:
        LaptopError: it cannot start, a part of it fails again and again, or it takes too long.
    """
    running = running_report(home)
    if running is not None and running.healthy:
        return Started(running, by_us=False)
    if running is not None:
        report = wait_until_ready(lambda: _still_running(home), console, timeout_seconds=timeout_seconds)
        return Started(report, by_us=False)
    launched = launch(home, settings)
    console.print(f"Starting Lectern in {home.path}", highlight=False, markup=False)
    return Started(wait_until_ready(launched.report, console, timeout_seconds=timeout_seconds), by_us=True)


def run_in_foreground(
    home: Home, settings: LaptopSettings, console: Console, *, timeout_seconds: float, announce: Callable[[Started], None]
) -> None:
    """`bring_up`, ``announce``, show what changes, and stop the stack when this is interrupted or terminated.

    A stack that ran before is announced and left alone. Returns also when something else has stopped the stack.

    Raises:
        LaptopError: as `bring_up`; what was started goes on trying.
        KeyboardInterrupt: this was interrupted before the stack was ready; what was started has been stopped.
    """
    ours = running_report(home) is None
    announced = False
    with _interrupted_by_termination():
        try:
            started = bring_up(home, settings, console, timeout_seconds=timeout_seconds)
            announce(started)
            announced = True
            if ours:
                console.print("\nCtrl-C stops it.")
                _show_changes(home, started.report, console)
        except KeyboardInterrupt:
            if ours:
                console.print()
                bring_down(home, console)
            if not announced:
                raise


def _show_changes(home: Home, report: StackReport, console: Console) -> None:
    """Show what changes from ``report`` on until the stack has been stopped."""
    with Display(console, before=report) as display:
        while (now := running_report(home)) is not None:
            display.show(now)
            time.sleep(_POLL_SECONDS)
    console.print("Lectern was stopped.")


def bring_down(home: Home, console: Console) -> bool:
    """Stop the stack, saying what it waits for; whether anything ran."""
    if running_report(home) is not None:
        console.print("Stopping Lectern; it finishes what it has begun…")
    with console.status("") as shown:

        def progress(report: StackReport) -> None:
            left = [name for name, part in report.services.items() if part.process is not None]
            shown.update(f"waiting for {', '.join(left)}" if left else "almost done")

        return stop(home, progress=progress)


def _still_running(home: Home) -> StackReport:
    report = running_report(home)
    if report is None:
        raise LaptopError("STOPPED_MEANWHILE", "Lectern was stopped while we waited. Start it with `lectern up`.")
    return report


@contextmanager
def _interrupted_by_termination() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end things as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
