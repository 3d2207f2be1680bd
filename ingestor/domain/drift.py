"""Drift: where the vector index differs from the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class DriftKind(StrEnum):
    """How a passage differs."""

    MISSING = "MISSING"
    ORPHAN = "ORPHAN"
    STALE = "STALE"
    DUPLICATE = "DUPLICATE"
    MISMATCH = "MISMATCH"

    @property
    def is_surplus(self) -> bool:
        """Whether the index holds something that has to go."""
        return self is not DriftKind.MISSING


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A passage as the index holds it, or as it should.

    Attributes:
        fingerprint: equal where text, context and attributes are; empty where the index keeps none.
    """

    passage_id: str
    document_id: str
    generation: int
    collection_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A passage that one side has and the other has not, or has otherwise.

    Attributes:
        expected: what the library says; None: no visible passage has this id.
        held: what the index has; None: nothing.
        repeated: the index has it once more, under the same id.
    """

    expected: IndexRow | None
    held: IndexRow | None
    repeated: bool = False

    @property
    def row(self) -> IndexRow:
        """The side that there is; the index's when there are both."""
        row = self.held or self.expected
        assert row is not None
        return row


@dataclass(frozen=True, slots=True)
class Standing:
    """What the library knows about a difference, once it was seen.

    Attributes:
        in_work: a task is at work on the document or waits to be, or was until a moment ago: the difference may pass by itself.
        visible: the passage is visible now.
        visible_generation: the document's; None: there is no such document any more.
        has_twin: the document's visible generation has a passage with the same fingerprint.
    """

    in_work: bool
    visible: bool
    visible_generation: int | None
    has_twin: bool


def compare(expected: Sequence[IndexRow], held: Sequence[IndexRow]) -> list[Difference]:
    """The differences between what the library and the index have of one range of passage ids."""
    wanted = {row.passage_id: row for row in expected}
    seen: set[str] = set()
    differences: list[Difference] = []
    for row in held:
        known = wanted.get(row.passage_id)
        if row.passage_id in seen:
            differences.append(Difference(known, row, repeated=True))
        elif known is None or not _agree(known, row):
            differences.append(Difference(known, row))
        seen.add(row.passage_id)
    differences += [Difference(row, None) for row in expected if row.passage_id not in seen]
    return differences


def classify(difference: Difference, standing: Standing) -> DriftKind | None:
    """What a difference is; None when it is none, because the library has moved on since."""
    if difference.expected is None:
        return None if standing.visible else _surplus(difference.row, standing)
    if not standing.visible:
        return None
    if difference.held is None:
        return DriftKind.MISSING
    return DriftKind.DUPLICATE if difference.repeated else DriftKind.MISMATCH


def _surplus(row: IndexRow, standing: Standing) -> DriftKind:
    if standing.visible_generation is None:
        return DriftKind.ORPHAN
    if row.generation != standing.visible_generation:
        return DriftKind.STALE
    return DriftKind.DUPLICATE if standing.has_twin else DriftKind.ORPHAN


def _agree(expected: IndexRow, held: IndexRow) -> bool:
    places = [(row.document_id, row.generation, row.collection_id) for row in (expected, held)]
    return places[0] == places[1] and held.fingerprint in ("", expected.fingerprint)
