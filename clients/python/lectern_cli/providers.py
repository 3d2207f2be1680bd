"""`lectern providers`: endpoints of language models that the organisation brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lectern_cli.collections import confirm
from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, out, plain, print_json, print_model, print_models, print_table

if TYPE_CHECKING:
    from lectern_client.models import LanguageModels

app = typer.Typer(help="List, add and remove endpoints of language models; for admins.", invoke_without_command=True)
NameArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="Name or id.")]
# Never an option: what stands on a command line is in the shell's history and in the list of processes.
EndpointKeyOption = Annotated[
    str,
    typer.Option(
        "--endpoint-key", envvar="LECTERN_ENDPOINT_KEY", prompt="Key of the endpoint (empty: none)", prompt_required=False, hide_input=True,
        help="Ask for the endpoint's key; or set LECTERN_ENDPOINT_KEY.",
    ),
]  # fmt: skip


@app.callback()
def _default(context: typer.Context, url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_providers(url, key, as_json=as_json)


@app.command("list")
def list_providers(url: UrlOption = None, key: KeyOption = None, *, as_json: JsonOption = False) -> None:
    """List the providers with their models."""
    with resolve(url, key).open() as client:
        found = list(client.providers.list())
    if as_json:
        print_models(found)
        return
    rows = [(p.name, p.base_url, ", ".join(m.name for m in p.models), f"…{p.key_hint}" if p.has_key else "none", p.id) for p in found]
    print_table(("name", "address", "models", "key", "id"), rows, empty="There is no provider.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Its models are called name/model.")],
    base_url: Annotated[str, typer.Argument(help="Where /chat/completions begins, often ending in /v1.")],
    models: Annotated[list[str], typer.Argument(help="Names of models at the endpoint.")],
    *,
    endpoint_key: EndpointKeyOption = "",
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an endpoint that speaks OpenAI's chat protocol.

    Example:
      lectern providers create acme https://models.example.org/v1 large small --endpoint-key
    """
    with resolve(url, key).open() as client:
        made = client.providers.create(name, base_url, models, key=endpoint_key)
    if as_json:
        print_model(made)
    else:
        names = ", ".join(f"{made.name}/{model.name}" for model in made.models)
        out.print(f"Added {plain(made.name)}. Ask with --model: {plain(names)}.", markup=False)


@app.command("set-key")
def set_key(
    name: NameArgument,
    *,
    endpoint_key: Annotated[
        str,
        typer.Option(
            envvar="LECTERN_ENDPOINT_KEY",
            prompt="Key of the endpoint (empty: none)",
            hide_input=True,
            help="The new key; asked for when left out.",
        ),
    ],
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the key of a provider."""
    with resolve(url, key).open() as client:
        changed = client.providers.update(name, key=endpoint_key)
    if as_json:
        print_model(changed)
    else:
        out.print(f"Replaced the key of {plain(changed.name)}.", markup=False)


@app.command("delete")
def delete(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a provider and its key."""
    with resolve(url, key).open() as client:
        provider = client.providers.get(name)
        if not yes:
            confirm(f"Delete the provider {plain(provider.name)} and its {len(provider.models)} models?", as_json=as_json)
        client.providers.delete(provider.id)
    if as_json:
        print_json({"provider_id": provider.id, "deleted": True})
    else:
        out.print(f"Deleted {plain(provider.name)}.", markup=False)


def list_models(*, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """List the language models that questions can name."""
    with resolve(url, key).open() as client:
        _print_models(client.language_models(), as_json=as_json)


@app.command("default")
def set_default(
    model: Annotated[str, typer.Argument(help="As `lectern models` shows it; empty: the server's own choice.")],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the language model that answers where nothing else is asked for."""
    with resolve(url, key).open() as client:
        _print_models(client.set_default_model(model), as_json=as_json)


def _print_models(models: LanguageModels, *, as_json: bool) -> None:
    if as_json:
        print_model(models)
        return
    rows = [(model.name, model.engine, "default" if model.name == models.default_model else "") for model in models.items]
    print_table(("name", "engine", ""), rows, empty="There is no language model.")
