"""`lectern search`: the passages that fit a query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import USAGE, CommandError
from lectern_cli.output import JsonOption, err, one_line, out, place, plain, print_model

if TYPE_CHECKING:
    from lectern_client.models import DocumentGroup, Hit, HitExplanation, SearchResult

CollectionsOption = Annotated[
    list[str] | None, typer.Option("--collection", "-c", help="Only this collection, by name or id; repeat for several. Default: all.")
]
FilterOption = Annotated[
    str | None, typer.Option("--filter", metavar="JSON", help='Which passages may be found, e.g. [bold]\'{"type": "pdf"}\'[/].')
]
LiteralOption = Annotated[bool, typer.Option("--literal", help="Take the words as plain text, in which nothing is a condition.")]
_EXCERPT_CHARACTERS = 400


def search(
    query: Annotated[str, typer.Argument(help="Words or a question, and conditions such as [bold]type:pdf updated:1y[/].")],
    *,
    collections: CollectionsOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many passages to show.")] = 10,
    filter_: FilterOption = None,
    literal: LiteralOption = False,
    group: Annotated[bool, typer.Option("--group", help="Show the passages by document and section.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show why each passage stands where it stands.")] = False,
    history: Annotated[bool, typer.Option("--history/--no-history", help="Keep it in `lectern history`.")] = True,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the passages that fit a query, best first.

    Examples:
      lectern search "notice period" --collection handbook --limit 3

      lectern search "délai de préavis" --group --explain
    """
    with resolve(url, key).open() as client:
        result = client.search(
            query,
            collections=collections or (),
            filter=parse_filter(filter_),
            limit=limit,
            literal=literal,
            group=group,
            explain=explain,
            history=history,
        )
    if as_json:
        print_model(result)
    elif not result.hits:
        err.print("Nothing was found. `lectern collections` shows what there is.")
    else:
        _print_result(result)


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


def _print_result(result: SearchResult) -> None:
    if result.groups is None:
        for number, hit in enumerate(result.hits, 1):
            _print_hit(f"{number}. {place(hit.document_name, hit.page)}", hit, indent=0)
    else:
        numbered = {hit.passage_id: (number, hit) for number, hit in enumerate(result.hits, 1)}
        for document in result.groups:
            _print_document(document, numbered)
    if result.explanation is not None:
        weighed = result.explanation
        out.print(f"[dim]weighed: meaning {weighed.dense_weight:.2f}, words {weighed.lexical_weight:.2f}[/]")
        timings = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in result.timings_ms.items())
        out.print(f"[dim]milliseconds: {escape(timings)}[/]")


def _print_document(document: DocumentGroup, numbered: dict[str, tuple[int, Hit]]) -> None:
    out.print(f"[bold]{escape(plain(document.document_name))}[/]  [dim]{document.score:.3f}[/]")
    for section in document.sections:
        if section.headings:
            out.print(f"  {escape(' › '.join(map(plain, section.headings)))}")
        for passage_id in section.passage_ids:
            number, hit = numbered[passage_id]
            _print_hit(f"{number}. page {hit.page}" if hit.page else f"{number}.", hit, indent=4)


def _print_hit(title: str, hit: Hit, *, indent: int) -> None:
    margin = " " * indent
    out.print(f"{margin}[bold]{escape(title)}[/]  [dim]{hit.score:.3f}[/]")
    out.print(f"{margin}   {escape(one_line(hit.text, _EXCERPT_CHARACTERS))}")
    for line in _explained(hit.explanation) if hit.explanation else ():
        out.print(f"{margin}   [dim]{escape(line)}[/]")
    out.print()


def _explained(explanation: HitExplanation) -> Iterator[str]:
    yield f"score: {explanation.dense_share:.3f} by meaning + {explanation.lexical_share:.3f} by words"
    for term in explanation.matched_terms:
        written = ", ".join(dict.fromkeys(plain(span.text) for span in term.in_text)) or "in its name or headings alone"
        yield f"{plain(term.word)} → {plain(' '.join(term.terms))}: {written} (×{term.count}, +{term.score:.2f})"
    if explanation.filter_clauses:
        yield f"holds: {plain(' · '.join(explanation.filter_clauses))}"
