"""`lectern history`: what was searched for with the key."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from lectern_cli.collections import confirm
from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, err, print_json, print_models, print_table


def history(
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Forget all of it instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before forgetting.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many searches to show.")] = 20,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show your searches, newest first, or forget them.

    Examples:
      lectern history --limit 5

      lectern history --clear
    """
    with resolve(url, key).open() as client:
        if clear:
            if not yes:
                confirm("Forget all your searches?", as_json=as_json)
            client.search_history.clear()
            _say_cleared(as_json=as_json)
            return
        found = list(islice(client.search_history.list(page_size=min(limit, 1000)), limit))
    if as_json:
        print_models(found)
        return
    rows = [(search.create_time, search.query, search.hit_count, f"{search.total_ms:.0f}") for search in found]
    print_table(("when", "query", "hits", "ms"), rows, empty="No search is kept.")


def _say_cleared(*, as_json: bool) -> None:
    if as_json:
        print_json({"cleared": True})
    else:
        err.print("Your searches are forgotten.")
