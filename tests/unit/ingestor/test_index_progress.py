"""What an answer of the index means for the tasks whose passages it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ingestor.domain.pipeline.index import Attributes, Progress, StoredPassage, Written


def passage(number: int, *, task_id: int = 1, source: str | None = None) -> StoredPassage:
    return StoredPassage(task_id, f"p{number}", "d", 2, number, "text", "", source, "print")


def test_vectors_taken_over_are_counted_for_those_that_offered_one() -> None:
    progress = Progress()
    passages = [passage(0), passage(1, source="old"), passage(2, task_id=2, source="old")]
    progress.add(passages, Written(count=3, reused_count=2, rejected={}, model="m"))
    assert (progress.embedded, progress.reused, progress.model) == ({1: 1}, {1: 1, 2: 1}, "m")


def test_an_offer_that_the_index_could_not_use_was_embedded() -> None:
    progress = Progress()
    progress.add([passage(0, source="gone"), passage(1, source="old")], Written(count=2, reused_count=1, rejected={}, model="m"))
    assert progress.embedded[1] + progress.reused[1] == 2
    assert progress.reused[1] == 1


def test_a_rejected_passage_fails_its_own_task() -> None:
    progress = Progress()
    written = Written(count=2, reused_count=0, rejected={"p1": "VECTOR_NOT_FINITE"}, model="m")
    progress.add([passage(0), passage(1, task_id=2)], written)
    assert progress.embedded == {1: 1}
    assert {task_id: failure.reason for task_id, failure in progress.rejected.items()} == {2: "VECTOR_NOT_FINITE"}
    assert "passage 2" in progress.rejected[2].message


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ("Ann", "en", False)),
        ({"author": "Bea", "language": "fr", "outdated": True}, ("Bea", "fr", True)),
        ({"author": 5, "language": "", "outdated": "yes"}, ("Ann", "en", False)),
        ({"author": "x" * 1000}, ("x" * 500, "en", False)),
    ],
)
def test_what_the_owner_says_counts_before_what_the_content_says(metadata: dict[str, Any], expected: tuple[str, str, bool]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    attributes = Attributes("c", "pdf", "Ann", "en", now, now, metadata)
    assert (attributes.author, attributes.language, attributes.outdated) == expected
