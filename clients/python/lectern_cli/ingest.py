"""`lectern ingest`: files and folders into a collection."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from lectern_cli.connection import Connection, KeyOption, UrlOption, resolve
from lectern_cli.errors import FAILED, USAGE, CommandError
from lectern_cli.files import SourceFile, collect
from lectern_cli.output import JsonOption, err, out, plain, print_json
from lectern_cli.progress import BarProgress, BatchBar, LineProgress

if TYPE_CHECKING:
    from lectern_cli.ingestion import BatchOutcome, Outcome

T = TypeVar("T")
DEFAULT_COLLECTION = "library"
_BATCH_SUFFIXES = frozenset({".jsonl", ".ndjson"})
# A service that was killed is back within this time, and a busy one has room again.
_PATIENCE_SECONDS = 120.0

CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", help="Collection to put them into, by name or id; made when there is none.")
]


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, and folders with all that is in them.")],
    *,
    collection: CollectionOption = DEFAULT_COLLECTION,
    batch: Annotated[bool, typer.Option("--batch", help="Take .jsonl files as many texts: one JSON object a line.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in files and folders, and wait until they can be searched.

    Hidden files are skipped. A file is known by its path within the folder: running this again embeds only what has changed.

    With --batch each line of a .jsonl or .ndjson file is a text of its own: {"text": …, "id"?: …, "name"?: …, "metadata"?: {…}}.

    Exit status: 0 everything is searchable, 1 something is not.

    Examples:
      lectern ingest ~/Documents/handbook --collection handbook

      lectern ingest report.pdf notes.md

      lectern ingest abstracts.jsonl --batch --collection papers
    """
    connection = resolve(url, key)
    if batch:
        well = _run_batches(connection, collection, _batch_files(paths), as_json=as_json)
    else:
        well = _run_files(connection, collection, collect(paths), as_json=as_json)
    if not well:
        raise typer.Exit(FAILED)


def _run(ingesting: Coroutine[Any, Any, list[T]]) -> list[T]:
    try:
        return asyncio.run(ingesting)
    except KeyboardInterrupt:
        err.print("\nStopped. What was uploaded goes on being indexed; running this again continues with the rest.")
        raise


def _run_files(connection: Connection, collection: str, sources: list[SourceFile], *, as_json: bool) -> bool:
    began = time.monotonic()
    outcomes = _run(_ingest_files(connection, collection, sources))
    if as_json:
        embedded = sum(outcome.embedded for outcome in outcomes)
        print_json({"collection": collection, "embedded_count": embedded, "files": [asdict(outcome) for outcome in outcomes]})
    else:
        _print_summary(collection, outcomes, time.monotonic() - began)
    return all(outcome.state.value != "FAILED" for outcome in outcomes)


async def _ingest_files(connection: Connection, collection: str, sources: list[SourceFile]) -> list[Outcome]:
    from lectern_cli.ingestion import ensure_collection, ingest_files

    async with connection.open_async(patience_seconds=_PATIENCE_SECONDS) as client:
        await _announce(await ensure_collection(client, collection), collection)
        progress = BarProgress(err, len(sources)) if err.is_terminal else LineProgress(err, len(sources))
        with progress:
            return await ingest_files(client, collection, sources, progress)


def _run_batches(connection: Connection, collection: str, paths: list[Path], *, as_json: bool) -> bool:
    began = time.monotonic()
    outcomes = _run(_ingest_batches(connection, collection, paths))
    jobs = [outcome.job for outcome in outcomes]
    if as_json:
        files = [
            {"name": str(path), "unchanged": outcome.unchanged, "job": outcome.job.model_dump(mode="json")}
            for path, outcome in zip(paths, outcomes, strict=True)
        ]
        print_json({"collection": collection, "embedded_count": sum(job.embedded for job in jobs), "files": files})
    else:
        _print_batch_summary(collection, outcomes, time.monotonic() - began)
    return all(job.state == "SUCCEEDED" for job in jobs)


async def _ingest_batches(connection: Connection, collection: str, paths: list[Path]) -> list[BatchOutcome]:
    from lectern_cli.ingestion import ensure_collection, ingest_batch

    outcomes = []
    async with connection.open_async(patience_seconds=_PATIENCE_SECONDS) as client:
        await _announce(await ensure_collection(client, collection), collection)
        for path in paths:
            err.print(f"Uploading {escape(plain(path.name))}")
            with BatchBar(err, path.name) as bar:
                outcomes.append(await ingest_batch(client, collection, path, bar.show))
    return outcomes


async def _announce(created: bool, collection: str) -> None:
    if created:
        err.print(f"Made the collection {escape(plain(collection))}.")


def _batch_files(paths: list[Path]) -> list[Path]:
    for path in paths:
        if path.suffix not in _BATCH_SUFFIXES or not path.is_file():
            message = f"--batch takes files of JSON lines named .jsonl or .ndjson, and {path} is none."
            raise CommandError("NOT_A_BATCH", message, exit_code=USAGE)
    return paths


def _print_summary(collection: str, outcomes: list[Outcome], seconds: float) -> None:
    counts = Counter(outcome.state.value for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.state.value == "FAILED"]
    for outcome in failed:
        out.print(f"[red]FAILED[/] {escape(plain(outcome.name))}: {outcome.reason}: {escape(plain(outcome.message))}")
    parts = [f"{counts['READY']} ready", f"{counts['UNCHANGED']} unchanged", f"{counts['FAILED']} failed"]
    out.print(f"{len(outcomes)} files into {escape(plain(collection))}: {', '.join(parts)}, in {seconds:.1f} s.")


def _print_batch_summary(collection: str, outcomes: list[BatchOutcome], seconds: float) -> None:
    def total(count: str) -> int:
        return sum(getattr(outcome.job, count) for outcome in outcomes)

    for outcome in outcomes:
        for failure in outcome.job.failures:
            name = failure.external_id or failure.document_name or failure.document_id
            out.print(f"[red]FAILED[/] {escape(plain(name))}: {failure.reason}: {escape(plain(failure.message))}")
    unchanged = sum(outcome.unchanged for outcome in outcomes)
    ready = total("done") - total("failed")
    counts = f"{ready} ready ({unchanged} of them unchanged), {total('failed')} failed"
    out.print(f"{total('total')} texts into {escape(plain(collection))}: {counts}, in {seconds:.1f} s.")
