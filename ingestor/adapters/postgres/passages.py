"""Passages in Postgres, where it is decided which may be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ingestor.adapters.postgres.database import Database
from ingestor.domain.passages import Passage

_COLUMNS = """
    p.passage_id, p.document_id, d.collection_id, c.name AS collection_name, d.name AS document_name, d.external_id, p.ordinal, p.text,
    p.page, p.start_offset, p.end_offset, p.headings, p.anchor, d.uri, d.metadata, d.type, d.update_time
"""
# What makes a passage visible, whatever the vector index holds.
_VISIBLE = """
    JOIN library.document d ON d.document_id = p.document_id AND d.visible_generation = p.generation AND d.deleted_time IS NULL
    JOIN library.collection c ON c.collection_id = d.collection_id AND c.deleted_time IS NULL
"""
BY_ID = f"""
SELECT {_COLUMNS}
FROM unnest($2::text[]) WITH ORDINALITY AS wanted(passage_id, position)
    JOIN library.passage p USING (passage_id) {_VISIBLE}
WHERE p.organisation_id = $1 AND d.organisation_id = $1
ORDER BY wanted.position
"""
AROUND = f"""
SELECT {_COLUMNS}
FROM library.passage middle
    JOIN library.passage p ON p.document_id = middle.document_id AND p.generation = middle.generation
        AND p.ordinal BETWEEN middle.ordinal - $3 AND middle.ordinal + $4 {_VISIBLE}
WHERE middle.organisation_id = $1 AND d.organisation_id = $1 AND middle.passage_id = $2
ORDER BY p.ordinal
"""


class PostgresPassages:
    """A `PassageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visible(self, organisation_id: str, passage_ids: Sequence[str]) -> list[Passage]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(BY_ID, organisation_id, list(passage_ids))
        return [_passage(row) for row in rows]

    async def around(self, organisation_id: str, passage_id: str, *, before: int, after: int) -> list[Passage]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(AROUND, organisation_id, passage_id, before, after)
        return [_passage(row) for row in rows]


def _passage(row: Any) -> Passage:
    return Passage(
        passage_id=row["passage_id"],
        document_id=row["document_id"],
        collection_id=row["collection_id"],
        collection_name=row["collection_name"],
        document_name=row["document_name"],
        external_id=row["external_id"],
        ordinal=row["ordinal"],
        text=row["text"],
        page=row["page"],
        start=row["start_offset"],
        end=row["end_offset"],
        headings=tuple(row["headings"]),
        anchor=row["anchor"],
        document_uri=row["uri"],
        metadata=row["metadata"],
        document_type=row["type"],
        document_update_time=row["update_time"],
    )
