"""Passages: the pieces of documents that searches find and answers cite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ingestor.domain.metadata import Metadata
from shared.errors import invalid_argument

MAX_AROUND = 20
MAX_IDS = 1000


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that the caller may see, with what is shown beside it.

    Attributes:
        page: where it starts, from 1; 0 when the format has no pages.
        start: character offset in the document's text, like ``end``.
        document_uri: where the original can be opened; empty when nobody said.
    """

    passage_id: str
    document_id: str
    collection_id: str
    collection_name: str
    document_name: str
    external_id: str
    ordinal: int
    text: str
    page: int
    start: int
    end: int
    headings: tuple[str, ...]
    anchor: str
    document_uri: str
    metadata: Metadata
    document_type: str
    document_update_time: datetime

    @property
    def uri(self) -> str:
        """Where the original can be opened, at this passage where the format allows it."""
        if not self.document_uri or "#" in self.document_uri:
            return self.document_uri
        if self.document_type == "pdf" and self.page:
            return f"{self.document_uri}#page={self.page}"
        if self.anchor:
            return f"{self.document_uri}#{self.anchor}"
        return self.document_uri


class PassageStore(Protocol):
    """Where passages are kept. Only visible ones are ever returned: of the visible generation of a document that is not deleted."""

    async def visible(self, organisation_id: str, passage_ids: Sequence[str]) -> list[Passage]:
        """Those of ``passage_ids`` that may be seen, in the order given."""
        ...

    async def around(self, organisation_id: str, passage_id: str, *, before: int, after: int) -> list[Passage]:
        """The passage with its neighbours, in reading order; empty when it may not be seen."""
        ...


class Passages:
    """Reads passages, and decides who may."""

    def __init__(self, store: PassageStore) -> None:
        self._store = store

    async def visible(self, organisation_id: str, passage_ids: Sequence[str]) -> list[Passage]:
        """Those of ``passage_ids`` that the organisation may see, in the order given."""
        if len(passage_ids) > MAX_IDS:
            raise invalid_argument("TOO_MANY_PASSAGES", f"Ask for at most {MAX_IDS:,} passages at once.", field="passage_ids")
        return await self._store.visible(organisation_id, passage_ids)

    async def around(self, organisation_id: str, passage_id: str, *, before: int, after: int) -> list[Passage]:
        """The passage with up to ``before`` and ``after`` neighbours, in reading order; empty when it may not be seen."""
        if max(before, after) > MAX_AROUND:
            raise invalid_argument("TOO_MANY_PASSAGES", f"Ask for at most {MAX_AROUND} passages before and after.", field="before_count")
        return await self._store.around(organisation_id, passage_id, before=before, after=after)
