"""`lectern reconcile`: whether the vector index holds what the documents say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import DRIFT
from lectern_cli.output import JsonOption, err, out, print_model, print_table
from lectern_cli.progress import ReconcileBar

if TYPE_CHECKING:
    from lectern_client.models import ReconcileReport


def reconcile(
    *,
    repair: Annotated[bool, typer.Option("--repair/--check", help="Mend what differs, or only count it.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the vector index with your organisation's documents. Searches go on meanwhile.

    Exit status: 0 they agree, or all was mended; 3 they differ.
    """
    with resolve(url, key).open() as client, ReconcileBar(err) as bar:
        for report in client.reconcile(repair=repair):
            bar.show(report)
    if as_json:
        print_model(report)
    else:
        _print_report(report, repair=repair)
    if report.left:
        raise typer.Exit(DRIFT)


def _print_report(report: ReconcileReport, *, repair: bool) -> None:
    rows = [(each.kind.lower(), each.found, *([each.mended] if repair else [])) for each in report.drift]
    print_table(("drift", "found", *(["mended"] if repair else [])), rows, empty="")
    if report.unsettled:
        out.print(f"{report.unsettled} more passages differ, but their documents are in work; compare again when that has ended.")
    if report.left and not repair:
        out.print("Mend it with `lectern reconcile --repair`.")
    elif report.left:
        out.print(f"{report.left} passages could not be mended. Run the command again; `lectern logs ingestor` says what went wrong.")
