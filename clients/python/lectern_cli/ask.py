"""`lectern ask`: an answer with its sources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer
from rich.markup import escape

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, one_line, out, place, plain, print_model
from lectern_cli.search import CollectionsOption, FilterOption, LiteralOption, parse_filter

if TYPE_CHECKING:
    from lectern_client.models import AskEvent, Citation

_QUOTE_CHARACTERS = 240


class _Choice(TypedDict):
    collections: Sequence[str]
    filter: dict[str, Any] | None
    assistant: str | None
    model: str | None
    literal: bool


def ask(
    question: Annotated[str, typer.Argument(help="A question, in any language.")],
    *,
    collections: CollectionsOption = None,
    filter_: FilterOption = None,
    literal: LiteralOption = False,
    assistant: Annotated[str | None, typer.Option("--assistant", help="Assistant to ask, by name or id.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Language model, by the server's name for it.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the documents, and show where each statement comes from.

    On a terminal the answer appears as it is written.

    Examples:
      lectern ask "How many days of leave carry over?"

      lectern ask "How do I book leave?" --assistant step-by-step

      lectern ask "Quel est le délai de préavis ?" --collection handbook
    """
    chosen: _Choice = {
        "collections": collections or (),
        "filter": parse_filter(filter_),
        "assistant": assistant,
        "model": model,
        "literal": literal,
    }
    with resolve(url, key).open() as client:
        if as_json:
            print_model(client.ask(question, **chosen))
        elif out.is_terminal:
            print_citations(_stream(client.ask_stream(question, **chosen)))
        else:
            answer = client.ask(question, **chosen)
            out.print(plain(answer.answer), markup=False)
            print_citations(answer.citations)


def _stream(events: Iterable[AskEvent]) -> list[Citation]:
    """Print the text of ``events`` as it comes; the citations."""
    from lectern_client.models import AskCitation, AskDelta

    citations: list[Citation] = []
    for event in events:
        if isinstance(event, AskDelta):
            out.print(plain(event.text), end="", markup=False)
            out.file.flush()
        elif isinstance(event, AskCitation):
            citations.append(event)
    out.print()
    return citations


def print_citations(citations: Sequence[Citation]) -> None:
    """Print what the statements of an answer rest on."""
    if citations:
        out.print()
    for citation in citations:
        where = escape(place(citation.document_name, citation.page))
        out.print(f"\\[{citation.marker}] [bold]{where}[/]: [italic]“{escape(one_line(citation.quote, _QUOTE_CHARACTERS))}”[/]")
