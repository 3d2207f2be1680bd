"""`lectern chat`: questions that lean on one another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from lectern_cli.ask import print_citations
from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import USAGE, CommandError
from lectern_cli.output import JsonOption, err, out, plain, print_model
from lectern_cli.search import CollectionsOption, FilterOption, parse_filter

if TYPE_CHECKING:
    from lectern_client import Lectern
    from lectern_client.models import MessageCitation

_AGAIN = "/again"


class _Scope(TypedDict):
    collections: Sequence[str]
    filter: dict[str, Any] | None
    model: str | None


def chat(
    *,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Say this, print the answer, and end.")] = None,
    chat_id: Annotated[str | None, typer.Option("--chat", metavar="CHAT", help="Go on with this chat. Default: a new one.")] = None,
    assistant: Annotated[str | None, typer.Option("--assistant", "-a", help="Who answers in a new chat, by name or id.")] = None,
    collections: CollectionsOption = None,
    filter_: FilterOption = None,
    model: Annotated[str | None, typer.Option("--model", help="Language model, by the server's name for it.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk about the documents: each question leans on those before it. The chat is kept on the server.

    On a terminal it asks for one question after another; [bold]/again[/] answers the last one anew, Ctrl-C stops an answer, Ctrl-D ends.

    Examples:
      lectern chat --collection handbook

      lectern chat -m "How much leave do I have?" --json
    """
    if message is None and (as_json or not sys.stdin.isatty()):
        raise CommandError(
            "NO_MESSAGE", "There is no terminal to ask at, or --json was given. Say something with --message.", exit_code=USAGE
        )
    if chat_id and assistant:
        raise CommandError("ASSISTANT_OF_CHAT", "A chat keeps its assistant. Give --chat or --assistant, not both.", exit_code=USAGE)
    scope: _Scope = {"collections": collections or (), "filter": parse_filter(filter_), "model": model}
    with resolve(url, key).open() as client:
        # The server refuses an id that is not there before anything is asked.
        chat_id = client.chats.get(chat_id).id if chat_id else client.chats.create(assistant=assistant).id
        if message is None:
            _converse(client, chat_id, scope)
        elif as_json:
            print_model(client.chats.send(chat_id, message, **scope))
        else:
            answer = client.chats.send(chat_id, message, **scope).answer
            out.print(plain(answer.text), markup=False)
            print_citations(answer.citations)
    if not as_json:
        err.print(f"Go on with: lectern chat --chat {chat_id}", style="dim")


def _converse(client: Lectern, chat_id: str, scope: _Scope) -> None:
    """Ask for questions and show their answers until the input ends."""
    from lectern_client import ApiError

    last_answer = ""
    while True:
        try:
            said = out.input("[bold]>[/] ").strip()
        except (EOFError, KeyboardInterrupt):
            out.print()
            return
        if not said:
            continue
        try:
            last_answer = _show(client, chat_id, scope, said, last_answer)
        except ApiError as error:
            err.print(error.message, style="red", markup=False)


def _show(client: Lectern, chat_id: str, scope: _Scope, said: str, last_answer: str) -> str:
    """Print the answer as it is written; its id."""
    from lectern_client.models import AnswerMetadata, AskDelta, MessageCitation

    if said == _AGAIN and last_answer:
        events = client.chats.regenerate_stream(chat_id, last_answer, model=scope["model"])
    else:
        events = client.chats.stream(chat_id, said, **scope)
    citations: list[MessageCitation] = []
    try:
        for event in events:
            match event:
                case AnswerMetadata():
                    last_answer = event.answer.id
                case AskDelta(text=text):
                    out.print(plain(text), end="", markup=False)
                    out.file.flush()
                case MessageCitation():
                    citations.append(event)
    except KeyboardInterrupt:
        client.chats.stop(chat_id, last_answer)
    out.print()
    print_citations(citations)
    return last_answer
