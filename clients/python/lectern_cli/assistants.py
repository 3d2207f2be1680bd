"""`lectern assistants`: prompts, collections and models under names that questions can be put to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lectern_cli.collections import confirm
from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, one_line, out, plain, print_json, print_model, print_models, print_table
from lectern_cli.search import CollectionsOption

app = typer.Typer(help="List, make and delete assistants: a prompt, collections and a model under a name.", invoke_without_command=True)
NameArgument = Annotated[str, typer.Argument(metavar="ASSISTANT", help="Name or id.")]
_PROMPT_CHARACTERS = 60


@app.callback()
def _default(context: typer.Context, url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_assistants(url, key, as_json=as_json)


@app.command("list")
def list_assistants(url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    """List the assistants that the key may use."""
    with resolve(url, key).open() as client:
        found = list(client.assistants.list())
    if as_json:
        print_models(found)
        return
    rows = [
        (
            a.name,
            "built in" if a.built_in else a.visibility,
            ", ".join(a.collections),
            a.model,
            one_line(a.prompt, _PROMPT_CHARACTERS),
            a.id,
        )
        for a in found
    ]
    print_table(("name", "for", "collections", "model", "prompt", "id"), rows, empty="There is no assistant yet.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Unique in the organisation.")],
    *,
    prompt: Annotated[str, typer.Option(help="What it adds to the rules of answering.")] = "",
    prompt_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, readable=True, help="A file with the prompt, instead of --prompt.")
    ] = None,
    collections: CollectionsOption = None,
    model: Annotated[str, typer.Option(help="Language model, by the server's name for it.")] = "",
    language: Annotated[str, typer.Option(help="Language of its answers, such as en; the question's without one.")] = "",
    private: Annotated[bool, typer.Option("--private", help="Only for this key and for admins.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an assistant.

    Example:
      lectern assistants create onboarding --prompt "You help new colleagues." --collection handbook
    """
    with resolve(url, key).open() as client:
        made = client.assistants.create(
            name,
            prompt=prompt_file.read_text(encoding="utf-8") if prompt_file else prompt,
            collections=list(collections or ()),
            model=model,
            language=language,
            visibility="private" if private else "organisation",
        )
    if as_json:
        print_model(made)
    else:
        out.print(f"Made the assistant {plain(made.name)} ({made.id}).", markup=False)


@app.command("delete")
def delete(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an assistant."""
    with resolve(url, key).open() as client:
        assistant = client.assistants.get(name)
        if not yes:
            confirm(f"Delete the assistant {plain(assistant.name)}?", as_json=as_json)
        client.assistants.delete(assistant.id)
    if as_json:
        print_json({"assistant_id": assistant.id, "deleted": True})
    else:
        out.print(f"Deleted {plain(assistant.name)}.", markup=False)
