"""`lectern up`, `down`, `status`, `logs`, `doctor` and `demo`: the stack on this machine."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lectern_cli.connection import find_home
from lectern_cli.errors import FAILED, NOT_RUNNING, CommandError
from lectern_cli.output import JsonOption, err, out, print_json, print_table

if TYPE_CHECKING:
    from deploy.laptop.home import Home
    from deploy.laptop.report import StackReport

_STATE_COLOURS = {"READY": "green", "DONE": "green", "FAILED": "red", "ILL": "red", "STOPPED": "dim"}
_MARKS = {"OK": "[green]✓[/]", "WARN": "[yellow]![/]", "FAIL": "[red]✗[/]"}
_FOLLOW_SECONDS = 0.2


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready, and leave it running.")] = False,
    port: Annotated[
        list[str] | None,
        typer.Option("--port", "-p", metavar="SERVICE=PORT", help="Move a service to another port, e.g. [bold]-p gateway=9000[/]."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for everything to be ready.", min=1)] = 300,
    as_json: JsonOption = False,
) -> None:
    """Start Lectern on this machine: Postgres, Milvus and the four services.

    Without --detach it stays in the foreground and Ctrl-C stops everything. Where it already runs, it waits until it is ready and says so.
    Data, logs and keys are kept in LECTERN_HOME (default: the nearest [bold].lectern[/] folder, or a new one here).
    """
    from deploy.laptop.foreground import Started, bring_up, run_in_foreground
    from deploy.laptop.settings import LaptopSettings

    home = _home()
    settings = LaptopSettings.load(ports=_ports(port or []))

    def announce(started: Started) -> None:
        if as_json:
            print_json(_status_json(started.report))
        else:
            _print_next_steps(home, started.report, already=not started.by_us)

    if detach:
        announce(bring_up(home, settings, err, timeout_seconds=timeout))
    else:
        run_in_foreground(home, settings, err, timeout_seconds=timeout, announce=announce)


def down(*, as_json: JsonOption = False) -> None:
    """Stop Lectern on this machine, letting it finish what it has begun.

    Also finds and stops what a killed supervisor left behind. Data stays.
    """
    from deploy.laptop.foreground import bring_down

    home = _home()
    stopped = bring_down(home, err)
    if as_json:
        print_json({"stopped": stopped, "home": str(home.path)})
    else:
        out.print(f"Lectern is stopped. Its data is in {escape(str(home.path))}." if stopped else "Lectern was not running.")


def status(*, as_json: JsonOption = False) -> None:
    """Show how each service stands.

    Exit status: 0 all is well, 1 something is ill, 3 not running.
    """
    from deploy.laptop.launch import orphans, running_report

    home = _home()
    report = running_report(home)
    if report is None:
        left = len(orphans(home))
        if as_json:
            print_json({"services": {}, "home": str(home.path), "healthy": False, "running": False, "orphans": left})
        else:
            advice = f"{left} processes were left behind; `lectern down` stops them." if left else "Start it with `lectern up`."
            err.print(f"Lectern is not running. {advice}")
        raise typer.Exit(NOT_RUNNING)
    if as_json:
        print_json(_status_json(report))
    else:
        _print_status(report)
    if not report.healthy or report.stale:
        raise typer.Exit(FAILED)


def logs(
    service: Annotated[str | None, typer.Argument(help="postgres, milvus, embedder, generator, ingestor, gateway or supervisor.")] = None,
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines to show.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with lines as they come; Ctrl-C ends it.")] = False,
) -> None:
    """Show the last lines of a service's log, or where the logs are."""
    home = _home()
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if service is None:
        out.print(f"The logs are in {escape(str(home.logs))}: {', '.join(known) or 'none yet'}.")
        return
    if service not in known:
        raise CommandError("NO_SUCH_LOG", f"There is no log of {service!r}. There are: {', '.join(known) or 'none yet'}.")
    _show_log(home.log(service), lines, follow=follow)


def doctor(*, as_json: JsonOption = False) -> None:
    """Check whether this machine can run Lectern, and say how to mend what is missing."""
    from deploy.laptop.doctor import examine

    findings = examine(_home())
    bad = any(finding.level == "FAIL" for finding in findings)
    if as_json:
        print_json({"healthy": not bad, "findings": [finding.as_json() for finding in findings]})
    else:
        for finding in findings:
            out.print(f"  {_MARKS[finding.level]} [bold]{finding.check:<14}[/] {escape(finding.message)}")
            if finding.fix:
                out.print(f"    [dim]→ {escape(finding.fix)}[/]")
    if bad:
        raise typer.Exit(FAILED)


def demo() -> None:
    """Start Lectern, take in the sample library and ask it two questions."""
    from deploy.laptop.demo import run_demo

    raise typer.Exit(run_demo(_home()))


def _home() -> Home:
    from deploy.laptop.home import Home

    return Home(find_home())


def _ports(given: list[str]) -> dict[str, int]:
    ports = {}
    for entry in given:
        service, _, number = entry.partition("=")
        if not number.isdecimal():
            raise CommandError("INVALID_PORT", f"--port {entry!r} should look like gateway=9000.")
        ports[service] = int(number)
    return ports


def _print_next_steps(home: Home, report: StackReport, *, already: bool) -> None:
    out.print(f"\n[bold green]Lectern is {'already running' if already else 'ready'}[/] at [bold]{report.url}[/]")
    out.print(f"  API key   {escape(str(home.admin_key))}")
    out.print(f"  Logs      {escape(str(home.logs))}")
    out.print("\n  lectern ingest PATH…        take in files and folders")
    out.print('  lectern ask "…?"            ask them a question')
    out.print("  lectern status              see how each service stands")
    out.print("  lectern down                stop it")


def _status_json(report: StackReport) -> dict[str, Any]:
    values = report.as_json()
    for part in (*values["services"].values(), *values["tasks"].values()):
        part["since"] = datetime.fromtimestamp(part["since"], UTC).isoformat(timespec="milliseconds")
    return {**values, "healthy": report.healthy and not report.stale, "running": True}


def _print_status(report: StackReport) -> None:
    def row(name: str) -> tuple[object, ...]:
        part = report.parts[name]
        seconds = max(0, int(time.time() - part.since))
        return name, part.state.value, part.process.pid if part.process else "", _span(seconds), part.restarts or "", part.url, part.message

    print_table(("service", "state", "pid", "for", "restarts", "at", ""), [row(name) for name in report.services], empty="")
    for name, task in report.tasks.items():
        if not task.well:
            err.print(f"{name}: {task.state.value}: {task.message}", markup=False)
    if report.stale:
        err.print("The supervisor itself has not reported for a while; `lectern down` and `lectern up` start it afresh.", style="red")


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _show_log(path: Path, lines: int, *, follow: bool) -> None:
    with path.open(errors="replace") as file:
        for line in deque(file, maxlen=lines):
            out.print(line, end="", markup=False)
        while follow:
            line = file.readline()
            if line:
                out.print(line, end="", markup=False)
            else:
                time.sleep(_FOLLOW_SECONDS)
