"""`lectern search`: the passages that fit a query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import USAGE, CommandError
from lectern_cli.output import JsonOption, err, one_line, out, place, print_model

if TYPE_CHECKING:
    from lectern_client.models import Hit

CollectionsOption = Annotated[
    list[str] | None, typer.Option("--collection", "-c", help="Only this collection, by name or id; repeat for several. Default: all.")
]
FilterOption = Annotated[
    str | None, typer.Option("--filter", metavar="JSON", help='Which passages may be found, e.g. [bold]\'{"type": "pdf"}\'[/].')
]
_EXCERPT_CHARACTERS = 400


def search(
    query: Annotated[str, typer.Argument(help="Words or a question.")],
    *,
    collections: CollectionsOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many passages to show.")] = 10,
    filter_: FilterOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the passages that fit a query, best first.

    Examples:
      lectern search "notice period" --collection handbook --limit 3

      lectern search "délai de préavis" --json
    """
    with resolve(url, key).open() as client:
        result = client.search(query, collections=collections or (), filter=parse_filter(filter_), limit=limit)
    if as_json:
        print_model(result)
        return
    for number, hit in enumerate(result.hits, 1):
        _print_hit(number, hit)
    if not result.hits:
        err.print("Nothing was found. `lectern collections` shows what there is.")


def parse_filter(text: str | None) -> dict[str, Any] | None:
    """The filter that ``text`` writes as JSON; what it means is the server's to judge.

    Raises:
        CommandError: it is not a JSON object.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandError("INVALID_FILTER", f"--filter is not JSON: {error}.", exit_code=USAGE) from None
    if not isinstance(value, dict):
        raise CommandError("INVALID_FILTER", '--filter should be a JSON object, such as {"type": "pdf"}.', exit_code=USAGE)
    return value


def _print_hit(number: int, hit: Hit) -> None:
    out.print(f"[bold]{number}. {escape(place(hit.document_name, hit.page))}[/]  [dim]{hit.score:.3f}[/]")
    out.print(f"   {escape(one_line(hit.text, _EXCERPT_CHARACTERS))}\n")
