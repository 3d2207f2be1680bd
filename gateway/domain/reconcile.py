"""Comparing the vector index with the library, as the gateway knows it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ReconcileStage(StrEnum):
    CHECKING = "CHECKING"
    MENDING = "MENDING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class DriftCount:
    """Passages that differ in one way."""

    kind: str
    found: int
    mended: int


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """How far a reconciliation is.

    Attributes:
        done: passages compared; while MENDING, documents indexed again.
        unsettled: passages that differ, but whose documents are in work.
    """

    stage: ReconcileStage
    done: int
    total: int
    drift: Sequence[DriftCount]
    unsettled: int


class Reconciler(Protocol):
    """Compares, and mends, what belongs to the current caller's organisation."""

    def run(self, *, repair: bool) -> AsyncGenerator[ReconcileReport, None]:
        """How far it is, and a last report in stage ENDED."""
        ...
