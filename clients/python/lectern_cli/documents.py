"""`lectern documents`: what was taken in, and what became of it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from lectern_cli.collections import confirm
from lectern_cli.connection import KeyOption, UrlOption, resolve
from lectern_cli.output import JsonOption, out, plain, print_model, print_models, print_table

app = typer.Typer(help="List, show and delete documents.", no_args_is_help=True)
DocumentArgument = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Id, as `lectern documents list` shows it.")]


@app.command("list")
def list_documents(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or id.")],
    *,
    state: Annotated[str | None, typer.Option(help="Only documents in this state: READY, FAILED, PROCESSING, …")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 100,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a collection's documents, oldest first."""
    with resolve(url, key).open() as client:
        found = list(islice(client.documents.list(collection, state=state.upper() if state else None), limit))
    if as_json:
        print_models(found)
        return
    rows = [(d.name, d.state, d.page_count or "", d.passage_count, d.reason, d.id) for d in found]
    print_table(("name", "state", "pages", "passages", "reason", "id"), rows, empty="There is no such document.")


@app.command("show")
def show(
    document: DocumentArgument,
    *,
    pages: Annotated[bool, typer.Option("--pages", help="With the text of each page.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one document."""
    with resolve(url, key).open() as client:
        found = client.documents.get(document, pages=pages)
    if as_json:
        print_model(found)
        return
    values = found.model_dump(exclude={"pages"}, exclude_none=True)
    print_table(("field", "value"), [(name, value) for name, value in values.items() if value not in ("", {}, 0)], empty="")
    for page in found.pages or ():
        out.print(f"\n— page {page.number} —\n{plain(page.text)}", markup=False)


@app.command("delete")
def delete(
    document: DocumentArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a document: nobody sees it from now on, and its texts, vectors and files are purged."""
    with resolve(url, key).open() as client:
        found = client.documents.get(document)
        if not yes:
            confirm(f"Delete {plain(found.name)}?", as_json=as_json)
        receipt = client.documents.delete(found.id)
    if as_json:
        print_model(receipt)
    else:
        out.print(f"Deleted {plain(found.name)}; job {receipt.job_id} purges what was stored of it.", markup=False)
