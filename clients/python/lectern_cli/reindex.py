"""`lectern reindex`: a new index from the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.errors import FAILED, CommandError
from lectern_cli.output import JsonOption, err, out, print_model
from lectern_cli.progress import ReindexBar

if TYPE_CHECKING:
    from lectern_client.models import IndexRebuild


def reindex(
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Begin nothing; show the newest rebuild until it ends.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the whole vector index anew from the documents. Searches go on over the old one until it is replaced. Needs an operator's key.

    It goes on when this command is stopped. Exit status: 0 the new index answers; 1 it failed, and the old one does.
    """
    rebuild: IndexRebuild | None = None
    with resolve(url, key).open() as client, ReindexBar(err) as bar:
        for rebuild in client.reindex(follow=follow):
            bar.show(rebuild)
    if rebuild is None or rebuild.state not in ("SUCCEEDED", "FAILED"):
        raise CommandError("REBUILD_UNFINISHED", "The rebuild goes on, but cannot be seen any more. Try `lectern reindex --follow`.")
    if as_json:
        print_model(rebuild)
    elif rebuild.state == "SUCCEEDED":
        out.print(f"The new index answers. {rebuild.embedded} passages were embedded, {rebuild.reused} vectors taken over.")
    if rebuild.state == "FAILED":
        if as_json:
            raise typer.Exit(FAILED)
        raise CommandError(rebuild.reason, f"The old index answers as before. {rebuild.message}")
