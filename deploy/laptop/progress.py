"""Shows a stack come up and go down: live lines on a terminal, one line a change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deploy.laptop.errors import LaptopError
from deploy.laptop.report import ServiceReport, StackReport, State

_POLL_SECONDS = 0.1
_REMIND_SECONDS = 10.0
_COLOURS = {
    State.READY: "green",
    State.DONE: "green",
    State.ILL: "yellow",
    State.RESTARTING: "yellow",
    State.FAILED: "red",
}


class Display:
    """Shows reports as they come; what was the same in ``before`` is not said again. Use as a context manager."""

    def __init__(self, console: Console, *, before: StackReport | None = None) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=10, transient=True) if console.is_terminal else None
        self._spinner = Spinner("dots")
        self._said = {name: _settled_line(name, part) or "" for name, part in before.parts.items()} if before else {}
        self._reminded = time.monotonic()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, report: StackReport) -> None:
        """Bring the display up to date."""
        for name, part in report.parts.items():
            line = _settled_line(name, part)
            if line is not None and self._said.get(name) != line:
                self._console.print(line, highlight=False)
            self._said[name] = line or ""
        unsettled = {name: part for name, part in report.parts.items() if _settled_line(name, part) is None}
        if self._live is not None:
            self._live.update(Group(*(self._row(name, part) for name, part in unsettled.items())))
        elif unsettled and time.monotonic() - self._reminded > _REMIND_SECONDS:
            self._reminded = time.monotonic()
            waited = time.monotonic() - self._began
            active = {name: part for name, part in unsettled.items() if part.state is not State.WAITING} or unsettled
            for name, part in active.items():
                self._console.print(f"  … {name}: {part.message or part.state.value.lower()} ({waited:.0f} s so far)", highlight=False)

    def _row(self, name: str, part: ServiceReport) -> Table:
        row = Table.grid(padding=(0, 1))
        waiting = part.state in {State.WAITING, State.STOPPED}
        elapsed = "" if waiting else f"{time.time() - part.since:.0f} s"
        row.add_row(
            " ", Text("·", "dim") if waiting else self._spinner, Text(f"{name:<20}"), Text(part.message, "dim"), Text(elapsed, "dim")
        )
        return row


def _settled_line(name: str, part: ServiceReport) -> str | None:
    """The line that stays on the screen for a part that is ready or in trouble; None while it comes or goes."""
    colour = _COLOURS.get(part.state)
    if colour is None:
        return None
    if part.state in {State.READY, State.DONE}:
        took = "" if part.ready_seconds is None else f" in {part.ready_seconds:.1f} s"
        return f"  [{colour}]✓[/] {name:<20} {'ready' if part.state is State.READY else 'done'}{took}"
    return f"  [{colour}]{'✗' if part.state is State.FAILED else '!'}[/] {name:<20} {part.state.value}: {_escape(part.message)}"


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def wait_until_ready(read: Callable[[], StackReport | None], console: Console, *, timeout_seconds: float) -> StackReport:
    """Show the stack come up, and return its report once everything is ready.

    Args:
        read: the newest report; None when there is none yet.
        console: where to show it.
        timeout_seconds: how long to wait at most.

    Raises:
        LaptopError: a part fails again and again, or the time is over; the stack keeps trying.
    """
    deadline = time.monotonic() + timeout_seconds
    with Display(console) as display:
        while True:
            report = read()
            if report is not None:
                display.show(report)
                if report.healthy:
                    return report
                raise_if_failed(report)
            if time.monotonic() > deadline:
                late = "" if report is None else ", ".join(name for name, part in report.parts.items() if not part.well)
                message = f"Not ready after {timeout_seconds:g} s: {late or 'the supervisor'}. It goes on; `lectern status` shows how far."
                raise LaptopError("NOT_READY_IN_TIME", message)
            time.sleep(_POLL_SECONDS)


def raise_if_failed(report: StackReport) -> None:
    """Complain about the first part that cannot be kept running.

    Raises:
        LaptopError: there is one; the text has the last lines of its log.
    """
    for name, part in report.parts.items():
        if part.state is State.FAILED:
            tail = "\n".join(f"    {line}" for line in part.log_tail)
            raise LaptopError("SERVICE_FAILED", f"{name}: {part.message}\n  The last lines of {part.log}:\n{tail}")
