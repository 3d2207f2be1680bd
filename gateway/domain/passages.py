"""Passages, as the gateway knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.strict_json import JsonValue


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        page: on which it starts; None when the format has no pages.
        start: character offset (code points) in the document's text at which it starts; ``end`` is where it ends.
        headings: above it, outermost first.
    """

    passage_id: str
    document_id: str
    document_name: str
    document_type: str
    external_id: str
    collection_id: str
    collection_name: str
    ordinal: int
    text: str
    page: int | None
    start: int
    end: int
    headings: Sequence[str]
    anchor: str
    uri: str
    metadata: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class PassageInContext:
    passage: Passage
    before: Sequence[Passage]
    after: Sequence[Passage]


class Passages(Protocol):
    """The passages that the current caller may read."""

    async def get(self, passage_id: str, *, before: int, after: int) -> PassageInContext: ...
