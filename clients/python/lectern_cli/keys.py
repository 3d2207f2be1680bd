"""`lectern keys`: who may call the server."""

from __future__ import annotations

from typing import Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, err, out, plain, print_json, print_model, print_models, print_table

app = typer.Typer(help="List, make and revoke API keys.", no_args_is_help=True)


@app.command("list")
def list_keys(*, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """List the organisation's API keys; only their beginnings are known to the server."""
    with resolve(url, key).open() as client:
        found = list(client.api_keys.list())
    if as_json:
        print_models(found)
        return
    rows = [(k.name, k.prefix, k.role, k.create_time, k.last_used_time, k.id) for k in found]
    print_table(("name", "prefix", "role", "made", "last used", "id"), rows, empty="There is no key.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    role: Annotated[str | None, typer.Option(help="member (default), admin or operator.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it: it can't be shown again."""
    with resolve(url, key).open() as client:
        made = client.api_keys.create(name, role=role)
    if as_json:
        print_model(made)
    else:
        err.print(f"The key {plain(made.name)}, shown this once:", markup=False)
        out.print(made.key, markup=False)


@app.command("revoke")
def revoke(
    api_key: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id, as `lectern keys list` shows it.")],
    *,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke an API key: it is refused from now on."""
    with resolve(url, key).open() as client:
        client.api_keys.revoke(api_key)
    if as_json:
        print_json({"api_key_id": api_key, "revoked": True})
    else:
        out.print(f"Revoked {plain(api_key)}.", markup=False)
