"""`make demo`: from nothing to two cited answers, with the real stack and the sample library."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from deploy.laptop.foreground import bring_up
from deploy.laptop.home import Home
from deploy.laptop.settings import LaptopSettings
from lectern_cli.output import one_line, place
from lectern_client import Lectern

LIBRARY = Path(__file__).resolve().parents[2] / "samples" / "library"
COLLECTION = "samples"
QUESTIONS = (
    "How is the profit share divided among the staff?",
    "Pendant combien de temps les images des caméras sont-elles gardées ?",
)
_START_SECONDS = 600.0
_QUOTE_CHARACTERS = 240


def run_demo(home: Home) -> int:
    """Start the stack unless it runs, take the samples in, ask about them; the exit status. The stack is left running.

    Raises:
        LaptopError: the stack cannot start.
        LecternError: the server refuses or fails.
    """
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    settings = LaptopSettings.load()
    with _step(console, 1, "Starting Postgres, Milvus and the four services"):
        started = bring_up(home, settings, console, timeout_seconds=_START_SECONDS)
    with _step(console, 2, f"Taking in {LIBRARY} as the collection `{COLLECTION}`"):
        command = [sys.executable, "-P", "-m", "lectern_cli", "ingest", str(LIBRARY), "--collection", COLLECTION]
        environment = {**settings.environment, "LECTERN_HOME": str(home.path)}
        all_ready = subprocess.run(command, env=environment, check=False).returncode == 0
    with _step(console, 3, "Asking"), Lectern(started.report.url, home.admin_key.read_text().strip()) as lectern:
        cited = [_ask(console, lectern, question) for question in QUESTIONS]
    console.print(f"\nThe whole demo took {time.monotonic() - began:.0f} s. Lectern goes on running at {started.report.url}.")
    console.print(f'Ask it something: lectern ask "…" --collection {COLLECTION}        Stop it: lectern down')
    if not all_ready:
        console.print("Failed: not every file of the sample library was taken in; see above.", style="red")
    if not all(cited):
        console.print("Failed: a question was answered without a source.", style="red")
    return 0 if all_ready and all(cited) else 1


@contextmanager
def _step(console: Console, number: int, what: str) -> Iterator[None]:
    """Say what is done and how long it took."""
    console.print(f"\n[bold]{number}. {escape(what)}[/]")
    began = time.monotonic()
    yield
    console.print(f"[dim]   took {time.monotonic() - began:.1f} s[/]")


def _ask(console: Console, lectern: Lectern, question: str) -> bool:
    """Ask and print the answer; whether a source was cited."""
    answer = lectern.ask(question, collections=[COLLECTION])
    console.print(f"\n[bold cyan]{escape(question)}[/]\n{escape(answer.answer)}")
    for citation in answer.citations:
        where = escape(place(citation.document_name, citation.page))
        console.print(f"  \\[{citation.marker}] [bold]{where}[/]: [italic]“{escape(one_line(citation.quote, _QUOTE_CHARACTERS))}”[/]")
    return bool(answer.citations)
