"""The table of what was tried."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

TRIED = "fault"
_HEADINGS = ("fault", "mode", "outcome", "seconds", "recovered by")


@contextmanager
def tried(request: pytest.FixtureRequest, fault: str, mode: str, recovered_by: str) -> Iterator[None]:
    """Note a fault and what became of it when the context is left; plain words, which pytest-xdist can carry."""
    started = time.monotonic()
    outcome = "an invariant broke"
    try:
        yield
        outcome = "all invariants hold"
    finally:
        row = (fault, str(mode), outcome, f"{time.monotonic() - started:.1f}", recovered_by)
        request.node.user_properties.append((TRIED, row))


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table."""
    listed = [_HEADINGS, *rows]
    widths = [max(len(row[column]) for row in listed) for column in range(len(_HEADINGS))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in listed]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
