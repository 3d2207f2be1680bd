"""The table of what was tried, as it is printed and as the README keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.faults.failpoints import FAILPOINTS
from tests.faults.orders import Mode

# Fault, mode, outcome, seconds, recovered by; words, which pytest-xdist can carry.
Tried: TypeAlias = Sequence[str]
TRIED = "fault"
HELD, BROKE = "all invariants hold", "an invariant broke"
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- what was tried -->\n", "<!-- end of what was tried -->\n"


@contextmanager
def tried(request: pytest.FixtureRequest, fault: str, mode: str, recovered_by: str) -> Iterator[None]:
    """Note a fault and what became of it when the context is left."""
    started = time.monotonic()
    outcome = BROKE
    try:
        yield
        outcome = HELD
    finally:
        row = (fault, str(mode), outcome, f"{time.monotonic() - started:.1f}", recovered_by)
        request.node.user_properties.append((TRIED, row))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table."""
    listed = [headings, *rows]
    widths = [max(len(row[column]) for row in listed) for column in range(len(headings))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in listed]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def everything(rows: Sequence[Tried]) -> str:
    """One line for each fault."""
    return table(("fault", "mode", "outcome", "seconds", "recovered by"), rows)


def compact(rows: Sequence[Tried]) -> str:
    """A line for each failpoint with its modes side by side, and one for each other fault."""
    steps = {(row[0], row[1]): row for row in rows}
    names = [failpoint.name for failpoint in FAILPOINTS]
    matrix = [[f"`{name}`", *(_cell(steps.get((name, mode))) for mode in Mode)] for name in names]
    others = [[row[0], _cell(row), row[4]] for row in rows if row[0] not in names]
    return "\n\n".join([table(("step", *Mode), matrix), table(("fault", "held after", "recovered by"), sorted(others))])


def record(rows: Sequence[Tried]) -> None:
    """Put the compact tables into the README, between its two marks."""
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{compact(rows)}\n\n{END}{rest.partition(END)[2]}")


def _cell(row: Tried | None) -> str:
    if row is None:
        return "not tried"
    return f"{float(row[3]):.0f} s" if row[2] == HELD else BROKE
