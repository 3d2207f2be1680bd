"""The invariants notice what they are there for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.invariants import Promises, Receipt, Row, Stores, violations

DOCUMENT = {
    "document_id": "d",
    "identity": "i",
    "deleted_time": None,
    "visible_generation": 2,
    "content_generation": 2,
    "state": "READY",
    "reason": "",
    "message": "",
    "passage_count": 2,
}
GENERATION = {"document_id": "d", "generation": 2, "state": "READY", "object_key": "k"}
PASSAGES = [{"passage_id": f"p{place}", "document_id": "d", "generation": 2, "ordinal": place, "text": f"w{place}"} for place in range(2)]
TASK = {"task_id": 1, "state": "SUCCEEDED", "stage": "PUBLISH", "lease_until": None, "leased": False}
TIME = datetime(2030, 1, 1, tzinfo=UTC)
RECEIPT = {"document_id": "gone", "purge_verified_time": TIME, "passage_count": 3, "vector_count": 3, "file_count": 1}
ROWS = [Row(f"p{place}", "d", 2) for place in range(2)]
WHOLE = Stores([DOCUMENT], [GENERATION], PASSAGES, [TASK], [RECEIPT], [{"object_key": "k"}], ROWS, {"k"})
PROMISES = Promises({"d": "w0 w1"}, {"gone": Receipt(3, 3, 1)})


def test_a_library_that_is_whole_breaks_nothing() -> None:
    assert violations(WHOLE, PROMISES) == []


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("nothing_is_lost", {"document": []}),
        ("nothing_is_lost", {"document": [DOCUMENT | {"state": "PROCESSING"}]}),
        ("nothing_is_lost", {"document": [DOCUMENT | {"state": "FAILED", "reason": ""}]}),
        ("nothing_is_lost", {"passage": PASSAGES[:1]}),
        ("nothing_is_there_twice", {"document": [DOCUMENT, DOCUMENT | {"document_id": "e"}]}),
        ("nothing_is_there_twice", {"rows": [*ROWS, ROWS[0]]}),
        ("nothing_is_there_twice", {"passage": [*PASSAGES, PASSAGES[0]]}),
        ("nothing_is_orphaned", {"rows": [*ROWS, Row("old", "d", 1)]}),
        ("nothing_is_orphaned", {"rows": [*ROWS, Row("of nobody", "gone", 1)]}),
        ("nothing_is_orphaned", {"document_generation": [GENERATION, GENERATION | {"generation": 1, "state": "SUPERSEDED"}]}),
        ("nothing_is_orphaned", {"files": {"k", "unknown"}}),
        ("nothing_is_orphaned", {"files": set()}),
        ("index_and_database_agree", {"rows": ROWS[:1]}),
        ("index_and_database_agree", {"rows": [ROWS[0], Row("p1", "d", 1)]}),
        ("index_and_database_agree", {"document": [DOCUMENT | {"passage_count": 3}]}),
        ("nothing_is_held", {"task": [TASK | {"state": "RUNNING"}]}),
        ("nothing_is_held", {"task": [TASK | {"lease_until": TIME, "leased": True}]}),
        ("receipts_are_right", {"deletion_receipt": []}),
        ("receipts_are_right", {"deletion_receipt": [RECEIPT | {"vector_count": 0}]}),
        ("receipts_are_right", {"deletion_receipt": [RECEIPT | {"purge_verified_time": None}]}),
    ],
)
def test_each_damage_is_noticed(invariant: str, damage: dict[str, Any]) -> None:
    assert invariant in {violation.partition(":")[0] for violation in violations(replace(WHOLE, **damage), PROMISES)}
