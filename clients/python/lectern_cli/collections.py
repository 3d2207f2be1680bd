"""`lectern collections`: named sets of documents."""

from __future__ import annotations

from typing import Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import CommandError
from lectern_cli.output import JsonOption, out, plain, print_model, print_models, print_table

app = typer.Typer(help="List, make and delete collections: named sets of documents.", invoke_without_command=True)
NameArgument = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or id.")]


@app.callback()
def _default(context: typer.Context, url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_collections(url, key, as_json=as_json)


@app.command("list")
def list_collections(url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    """List the collections with the number of their documents and passages."""
    with resolve(url, key).open() as client:
        found = list(client.collections.list())
    if as_json:
        print_models(found)
        return
    rows = [(c.name, c.document_count, c.passage_count, c.create_time, c.id) for c in found]
    print_table(("name", "documents", "passages", "made", "id"), rows, empty="There is no collection yet; `lectern ingest` makes one.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Unique in the organisation.")],
    *,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty collection."""
    with resolve(url, key).open() as client:
        made = client.collections.create(name, description=description)
    if as_json:
        print_model(made)
    else:
        out.print(f"Made the collection {plain(made.name)} ({made.id}).", markup=False)


@app.command("delete")
def delete(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a collection and all its documents."""
    with resolve(url, key).open() as client:
        collection = client.collections.get(name)
        if not yes:
            confirm(f"Delete {plain(collection.name)} and its {collection.document_count} documents?", as_json=as_json)
        deleted = client.collections.delete(collection.id)
    if as_json:
        print_model(deleted)
    else:
        out.print(f"Deleted {plain(collection.name)} with {deleted.document_count} documents.", markup=False)


def confirm(question: str, *, as_json: bool) -> None:
    """Ask before something is lost.

    Raises:
        CommandError: the answer is no, or there is nobody to ask.
    """
    if as_json or not out.is_terminal:
        raise CommandError("NOT_CONFIRMED", "Nothing was deleted: give --yes to do it without being asked.")
    if not typer.confirm(question):
        raise CommandError("NOT_CONFIRMED", "Nothing was deleted.")
