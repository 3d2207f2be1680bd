"""`make demo`: from nothing to two cited answers, with the real stack and the sample library."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from deploy.laptop.foreground import bring_up
from deploy.laptop.home import Home
from deploy.laptop.settings import LaptopSettings
from lectern_client import Lectern
from lectern_client.models import Answer

LIBRARY = Path(__file__).resolve().parents[2] / "samples" / "library"
COLLECTION = "samples"
QUESTIONS = (
    "What happens to annual leave that I have not used by the end of the year?",
    "Combien de jours de télétravail par semaine sont autorisés ?",
)
_START_SECONDS = 600.0


def run_demo(home: Home) -> int:
    """Start the stack unless it runs, take the samples in, ask about them; the exit status. The stack is left running.

    Raises:
        LaptopError: the stack cannot start.
        LecternError: the server refuses or fails.
    """
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    _step(console, 1, "Starting Postgres, Milvus and the four services")
    started = bring_up(home, LaptopSettings.load(), console, timeout_seconds=_START_SECONDS, stop_on_interrupt=True)
    _took(console, began)

    ingesting = time.monotonic()
    _step(console, 2, f"Taking in {LIBRARY} as the collection `{COLLECTION}`")
    command = [sys.executable, "-P", "-m", "lectern_cli", "ingest", str(LIBRARY), "--collection", COLLECTION]
    key = home.admin_key.read_text().strip()
    ingested = subprocess.run(command, env={**LaptopSettings.load().environment, "LECTERN_HOME": str(home.path)}, check=False).returncode
    _took(console, ingesting)

    asking = time.monotonic()
    _step(console, 3, "Asking")
    with Lectern(started.report.url, key) as lectern:
        answers = [(question, lectern.ask(question, collections=[COLLECTION])) for question in QUESTIONS]
    for question, answer in answers:
        _show(console, question, answer)
    _took(console, asking)

    console.print(f"\nThe whole demo took {time.monotonic() - began:.0f} s. Lectern goes on running at {started.report.url}.")
    console.print('Ask it something: lectern ask "…" --collection samples        Stop it: lectern down')
    uncited = [question for question, answer in answers if not answer.citations]
    for question in uncited:
        console.print(f"Failed: no source was cited for “{escape(question)}”", style="red")
    if ingested:
        console.print("Failed: not every file of the sample library was taken in; see above.", style="red")
    return 1 if uncited or ingested else 0


def _step(console: Console, number: int, what: str) -> None:
    console.print(f"\n[bold]{number}. {escape(what)}[/]")


def _took(console: Console, began: float) -> None:
    console.print(f"[dim]   took {time.monotonic() - began:.1f} s[/]")


def _show(console: Console, question: str, answer: Answer) -> None:
    console.print(f"\n[bold cyan]{escape(question)}[/]")
    console.print(escape(answer.answer))
    for citation in answer.citations:
        page = f", page {citation.page}" if citation.page else ""
        console.print(f"  [bold]\\[{citation.marker}][/] {escape(citation.document_name)}{page}: [italic]“{escape(citation.quote)}”[/]")
