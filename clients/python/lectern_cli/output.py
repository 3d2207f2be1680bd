"""How commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pydantic import BaseModel

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

# A file or a pipe has no width that a table should be cut to.
_WIDTH_OF_FILES = 400
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
err = Console(stderr=True, highlight=False, soft_wrap=True)
# Everything that a terminal would obey instead of show; texts come from documents, which anybody may have written.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """``text`` without characters that steer a terminal."""
    return _CONTROL.sub("", text)


def one_line(text: str, width: int) -> str:
    """``text`` on one line of at most ``width`` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def print_models(models: Iterable[BaseModel]) -> None:
    """Print ``models`` as one JSON array."""
    print_json([model.model_dump(mode="json") for model in models])


def print_model(model: BaseModel) -> None:
    print_json(model.model_dump(mode="json"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table, or ``empty`` when it has no rows."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    if table.row_count:
        out.print(table, soft_wrap=False)
    else:
        err.print(empty)


def place(document_name: str, page: int | None) -> str:
    """Where a passage stands, for people."""
    return plain(document_name) + (f", page {page}" if page else "")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    return plain(str(value))
