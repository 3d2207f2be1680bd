"""How an ingest looks while it runs: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lectern_cli.output import plain

if TYPE_CHECKING:
    from lectern_cli.files import SourceFile
    from lectern_cli.ingestion import Outcome
    from lectern_client.models import IndexRebuild, Job, ReconcileReport

_LINE_SECONDS = 5.0


def _bars(console: Console, left: ProgressColumn) -> Progress:
    """Bars whose column ``left`` says how long it will still take."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        left,
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        transient=True,
    )


class BarProgress:
    """Two bars, for uploading and for indexing. Use as a context manager."""

    def __init__(self, console: Console, total: int) -> None:
        self._bars = _bars(console, TimeRemainingColumn())
        self._uploading = self._bars.add_task("Uploading", total=total, note="")
        self._indexing = self._bars.add_task("Indexing", total=total, note="")
        self._failed = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def uploaded(self, source: SourceFile) -> None:
        self._bars.update(self._uploading, advance=1, note=escape(plain(source.external_id)[-40:]))

    def ended(self, outcome: Outcome) -> None:
        self._failed += outcome.state.value == "FAILED"
        self._bars.update(self._indexing, advance=1, note=f"{self._failed} failed" if self._failed else "")


class LineProgress:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._uploaded = self._ended = self._failed = 0
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._console.print(f"Uploading {self._total} files")
        return self

    def __exit__(self, *_: object) -> None:
        self._say()

    def uploaded(self, source: SourceFile) -> None:  # noqa: ARG002  # only the bars name it
        self._uploaded += 1
        self._say_sometimes()

    def ended(self, outcome: Outcome) -> None:
        self._ended += 1
        self._failed += outcome.state.value == "FAILED"
        self._say_sometimes()

    def _say_sometimes(self) -> None:
        if time.monotonic() - self._said > _LINE_SECONDS:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        failed = f", {self._failed} of them failed" if self._failed else ""
        self._console.print(f"  uploaded {self._uploaded}/{self._total}, indexed {self._ended}/{self._total}{failed}")


class BatchBar:
    """One bar for the job of a batch; lines where there is no terminal. Use as a context manager."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        # The server measures its throughput; what a bar can tell from its own steps is less.
        self._bars = _bars(console, TextColumn("{task.fields[left]}")) if console.is_terminal else None
        self._task = self._bars.add_task("Indexing", total=None, note="", left=_left(None)) if self._bars else None
        self._said = 0.0

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, job: Job) -> None:
        """Bring the display up to date."""
        if self._bars is not None and self._task is not None:
            note = f"{job.failed} failed" if job.failed else (job.stage or "").lower()
            self._bars.update(self._task, completed=job.done, total=job.total, note=note, left=_left(job.eta_seconds))
        elif job.ended or time.monotonic() - self._said > _LINE_SECONDS:
            self._said = time.monotonic()
            left = "" if job.eta_seconds is None else f", {_left(job.eta_seconds)} left"
            self._console.print(f"  {escape(plain(self._name))}: indexed {job.done}/{job.total}{left}")


def _left(seconds: float | None) -> str:
    """A span of time as `1:02:03`; dashes where it is not known."""
    return "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))


class ReconcileBar:
    """One bar for a comparison of index and library; nothing where there is no terminal. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._bars = _bars(console, TimeRemainingColumn()) if console.is_terminal else None
        self._task = self._bars.add_task("Comparing", total=None, note="") if self._bars else None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, report: ReconcileReport) -> None:
        """Bring the display up to date."""
        if self._bars is not None and self._task is not None:
            description = "Mending" if report.stage == "MENDING" else "Comparing"
            note = f"{report.found} differ" if report.found else ""
            total = max(report.total, report.done)
            self._bars.update(self._task, description=description, completed=report.done, total=total, note=note)


class ReindexBar:
    """One bar for each walk of a rebuild of the index; nothing where there is no terminal. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._bars = _bars(console, TimeRemainingColumn()) if console.is_terminal else None
        self._task = self._bars.add_task("Building", total=None, note="") if self._bars else None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, rebuild: IndexRebuild) -> None:
        """Bring the display up to date."""
        if self._bars is not None and self._task is not None:
            note = rebuild.reason or (f"walk {rebuild.walk}" if rebuild.walk > 1 else "")
            total = max(rebuild.total, rebuild.done)
            self._bars.update(self._task, description=rebuild.state.capitalize(), completed=rebuild.done, total=total, note=note)
