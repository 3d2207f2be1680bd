"""Where the Markdown tables of a text stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLE = re.compile(r"^(?P<header>\|[^\n]*\|)\n\|(?:[ :]*-{3,}[ :]*\|)++\n(?P<rows>(?:\|[^\n]*+(?:\n|\Z))++)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table: ``text[start:end]``, below the line ``header`` that names its columns."""

    header: str
    start: int
    end: int


def tables(text: str) -> Iterator[Table]:
    """Yield the tables in order. One pass, linear in the length of the text."""
    for match in _TABLE.finditer(text):
        yield Table(match["header"], match.start("rows"), match.end("rows"))
