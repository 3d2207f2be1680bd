"""`lectern jobs`: work that goes on in the background."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import FAILED
from lectern_cli.output import JsonOption, err, out, plain, print_model, print_models, print_table
from lectern_cli.progress import BatchBar

if TYPE_CHECKING:
    from lectern_client.models import Job

app = typer.Typer(help="List, watch, cancel and retry jobs.", no_args_is_help=True)
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id, as `lectern jobs list` shows it.")]


@app.command("list")
def list_jobs(
    *,
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only jobs of this collection.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state: QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind: INGEST, PURGE.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 20,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    with resolve(url, key).open() as client:
        jobs = client.jobs.list(collection=collection, state=state and state.upper(), kind=kind and kind.upper())
        found = list(islice(jobs, limit))
    if as_json:
        print_models(found)
        return
    rows = [(j.id, j.kind, j.state, f"{j.done}/{j.total}", j.failed or "", j.create_time) for j in found]
    print_table(("job", "kind", "state", "done", "failed", "made"), rows, empty="There was no job yet.")


@app.command("show")
def show(job: JobArgument, *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Show one job, its steps and what failed in it."""
    with resolve(url, key).open() as client:
        _print_job(client.jobs.get(job), as_json=as_json)


@app.command("documents")
def documents(
    job: JobArgument,
    *,
    state: Annotated[str | None, typer.Option(help="Only documents in this state: SUCCEEDED, FAILED, QUARANTINED, RUNNING, …")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 100,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what became of a job's documents."""
    with resolve(url, key).open() as client:
        found = list(islice(client.jobs.documents(job, state=state and state.upper()), limit))
    if as_json:
        print_models(found)
        return
    rows = [(d.external_id or d.document_name, d.state, d.stage, d.embedded, d.reused, d.reason, d.document_id) for d in found]
    print_table(("name", "state", "stage", "embedded", "reused", "reason", "document"), rows, empty="There is no such document.")


@app.command("watch")
def watch(job: JobArgument, *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Follow a job until it ends. Exit status: 0 it succeeded, 1 it did not."""
    with resolve(url, key).open() as client, BatchBar(err, job) as bar:
        for now in client.jobs.watch(job):
            bar.show(now)
    _print_job(now, as_json=as_json)
    if now.state != "SUCCEEDED":
        raise typer.Exit(FAILED)


@app.command("cancel")
def cancel(job: JobArgument, *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Stop what a job has not done yet; documents that are ready stay."""
    with resolve(url, key).open() as client:
        _print_job(client.jobs.cancel(job), as_json=as_json)


@app.command("retry")
def retry(job: JobArgument, *, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Try again what failed or was cancelled."""
    with resolve(url, key).open() as client:
        _print_job(client.jobs.retry(job), as_json=as_json)


def _print_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_model(job)
        return
    work = f"{job.embedded} texts embedded, {job.reused} vectors taken over"
    out.print(f"{job.id}: {job.state}, {job.done} of {job.total} done, {job.failed} failed; {work}.", markup=False)
    for step in job.steps:
        counts = f"{step.done} done, {step.running} running, {step.waiting} waiting, {step.failed} failed"
        out.print(f"  {step.step.lower():<8} {step.work_seconds:8.2f} s  {counts}", markup=False)
    if job.eta_seconds is not None:
        out.print(f"  about {job.eta_seconds:.0f} s left", markup=False)
    for failure in job.failures:
        out.print(f"  {plain(failure.document_name)}: {failure.reason}: {plain(failure.message)}", markup=False)
