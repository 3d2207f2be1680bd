"""Passages, hits and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from lectern_client.models.reply import Reply


class Passage(Reply):
    """A piece of a document's text; ``start`` and ``end`` are offsets in the document's, in Unicode code points."""

    passage_id: str
    document_id: str
    document_name: str
    document_type: str | None = None
    external_id: str | None = None
    collection_id: str
    collection_name: str = ""
    ordinal: int = 0
    text: str
    page: int | None = None
    start: int | None = None
    end: int | None = None
    headings: list[str] = Field(default_factory=list)
    anchor: str | None = None
    uri: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class PassageInContext(Passage):
    """A passage with those around it, in reading order."""

    before: list[Passage] = Field(default_factory=list)
    after: list[Passage] = Field(default_factory=list)


class TextSpan(Reply):
    """A piece of a passage's text; ``start`` and ``end`` are offsets in it, in Unicode code points."""

    text: str
    start: int
    end: int


class MatchedTerm(Reply):
    """A word of the query that a hit has.

    Attributes:
        terms: its analysed forms that the index has for the passage.
        count: how often, in the text and in the document's name and headings above it.
        score: what it adds to the hit's lexical score.
        in_text: where it stands in the text.
    """

    word: str
    terms: list[str]
    count: int
    score: float
    in_text: list[TextSpan] = Field(default_factory=list)


class HitExplanation(Reply):
    """Why a hit stands where it stands: both shares make its score."""

    dense_share: float
    lexical_share: float
    matched_terms: list[MatchedTerm] = Field(default_factory=list)
    filter_clauses: list[str] = Field(default_factory=list)


class QueryWord(Reply):
    """A word of the query, and the terms that it may stand as in the index."""

    text: str
    terms: list[str]


class SearchExplanation(Reply):
    """How meaning and words were weighed for a query."""

    dense_weight: float
    lexical_weight: float
    words: list[QueryWord] = Field(default_factory=list)


class Hit(Reply):
    """A passage that a search found; ``scores`` tells what each arm of the search thought of it."""

    passage_id: str
    document_id: str
    document_name: str
    document_type: str | None = None
    external_id: str | None = None
    collection_id: str
    collection_name: str = ""
    text: str
    page: int | None = None
    uri: str | None = None
    headings: list[str] = Field(default_factory=list)
    score: float
    scores: dict[str, float | None] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    explanation: HitExplanation | None = None


class SectionGroup(Reply):
    """Hits below the same headings, best first."""

    headings: list[str] = Field(default_factory=list)
    passage_ids: list[str]


class DocumentGroup(Reply):
    """Hits of the same document; ``score`` is its best hit's."""

    document_id: str
    document_name: str
    score: float
    sections: list[SectionGroup]


class SearchResult(Reply):
    """What a search found, best first; ``groups`` and ``explanation`` only when they were asked for."""

    hits: list[Hit]
    groups: list[DocumentGroup] | None = None
    explanation: SearchExplanation | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)
    trace_id: str = ""


class PastSearch(Reply):
    """A search that was made; ``request`` is what was asked beside the query."""

    id: str
    query: str
    request: dict[str, Any] = Field(default_factory=dict)
    hit_count: int = 0
    total_ms: float = 0.0
    trace_id: str = ""
    create_time: datetime | None = None


class Citation(Reply):
    """What a statement of an answer rests on.

    Attributes:
        marker: the number in the answer's ``[n]``.
        quote: ``text[start:end]`` of the passage, in Unicode code points.
    """

    marker: int
    passage_id: str
    document_id: str
    document_name: str
    page: int | None = None
    uri: str | None = None
    quote: str
    start: int = 0
    end: int = 0


class Answer(Reply):
    """An answer with its evidence.

    Attributes:
        answered: whether the documents hold an answer; when not, the text says so.
        hits: the passages that the answer could rest on, best first.
        finish_reason: ``STOP``, or ``LENGTH`` when the answer was cut at its longest.
    """

    answer: str
    answered: bool = True
    citations: list[Citation]
    hits: list[Hit] = Field(default_factory=list)
    model: str = ""
    finish_reason: str = ""
    usage: dict[str, int] = Field(default_factory=dict)
    timings_ms: dict[str, float] = Field(default_factory=dict)
    trace_id: str = ""


class AskMetadata(SearchResult):
    """First event of a streamed answer: what it will rest on."""


class AskDelta(Reply):
    """More of a streamed answer's text."""

    text: str


class AskCitation(Citation):
    """A citation of a streamed answer, sent once its marker has been."""


class AskComplete(Answer):
    """Last event of a streamed answer: the whole of it."""


AskEvent = AskMetadata | AskDelta | AskCitation | AskComplete
