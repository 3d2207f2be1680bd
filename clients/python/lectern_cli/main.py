"""The `lectern` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from lectern_cli import (
    ask,
    assistants,
    chat,
    collections,
    document_filter,
    documents,
    history,
    ingest,
    jobs,
    keys,
    laptop,
    providers,
    reconcile,
    reindex,
    search,
)
from lectern_cli.errors import complaint
from lectern_cli.output import err, print_json

app = typer.Typer(
    name="lectern",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A first try: [bold]lectern up --detach[/], then [bold]lectern ingest samples/library[/] and "
    '[bold]lectern ask "How many days of leave carry over?"[/]',
)
STACK = "The stack on this machine"
LIBRARY = "Documents and answers"
MANAGE = "Manage"

app.command("up", rich_help_panel=STACK)(laptop.up)
app.command("down", rich_help_panel=STACK)(laptop.down)
app.command("status", rich_help_panel=STACK)(laptop.status)
app.command("logs", rich_help_panel=STACK)(laptop.logs)
app.command("doctor", rich_help_panel=STACK)(laptop.doctor)
app.command("demo", rich_help_panel=STACK)(laptop.demo)
app.command("ingest", rich_help_panel=LIBRARY)(ingest.ingest)
app.command("search", rich_help_panel=LIBRARY)(search.search)
app.command("filter", rich_help_panel=LIBRARY)(document_filter.filter_documents)
app.command("ask", rich_help_panel=LIBRARY)(ask.ask)
app.command("history", rich_help_panel=LIBRARY)(history.history)
app.command("chat", rich_help_panel=LIBRARY)(chat.chat)
app.add_typer(assistants.app, name="assistants", rich_help_panel=MANAGE)
app.add_typer(collections.app, name="collections", rich_help_panel=MANAGE)
app.add_typer(documents.app, name="documents", rich_help_panel=MANAGE)
app.add_typer(jobs.app, name="jobs", rich_help_panel=MANAGE)
app.command("reconcile", rich_help_panel=MANAGE)(reconcile.reconcile)
app.command("reindex", rich_help_panel=MANAGE)(reindex.reindex)
app.command("models", rich_help_panel=MANAGE)(providers.list_models)
app.add_typer(providers.app, name="providers", rich_help_panel=MANAGE)
app.add_typer(keys.app, name="keys", rich_help_panel=MANAGE)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lectern {version('lectern')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Answers over your own documents, with the page they come from."""


def main() -> int:
    """Run the command line; the exit status. Errors are printed, as JSON where JSON was asked for."""
    try:
        return int(app(prog_name="lectern") or 0)
    except BrokenPipeError:
        # The reader of a pipe has seen enough. Python flushes at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # the last stop: a person gets a sentence, never a traceback
        told = complaint(error)
        if "--json" in sys.argv:
            print_json({"error": {"reason": told.reason, "message": told.message, "request_id": told.request_id or None}})
        else:
            reference = f" (request {told.request_id})" if told.request_id else ""
            err.print(f"{told.message}{reference}", style="red", markup=False)
        return told.exit_code
