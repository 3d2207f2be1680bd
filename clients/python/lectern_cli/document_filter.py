"""`lectern filter`: documents by their fields and metadata."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, print_models, print_table
from lectern_cli.search import CollectionsOption, parse_filter


def filter_documents(
    conditions: Annotated[
        list[str] | None, typer.Argument(help="Conditions, such as [bold]type:pdf updated:7d -author:ann[/]; none: all documents.")
    ] = None,
    *,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help="The same as JSON; both hold together.", show_default=False)
    ] = None,
    collections: CollectionsOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 100,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find documents by their fields and metadata, oldest first. Uses no model.

    Put conditions that begin with a minus behind [bold]--[/].

    Examples:
      lectern filter type:pdf updated:7d

      lectern filter has:team collection_metadata.owner:ann

      lectern filter -- -type:pdf
    """
    with resolve(url, key).open() as client:
        chosen = client.documents.filter(" ".join(conditions or ()), filter=parse_filter(filter_), collections=collections or ())
        found = list(islice(chosen, limit))
    if as_json:
        print_models(found)
        return
    rows = [(d.name, d.state, d.type, d.author, d.update_time, d.id) for d in found]
    print_table(("name", "state", "type", "author", "updated", "id"), rows, empty="No document satisfies this.")
