"""What the index holds and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from embedder.domain.encoding import Vectors

JsonValue: TypeAlias = "str | float | bool | list[JsonValue] | dict[str, JsonValue] | None"


@dataclass(frozen=True, slots=True)
class PassageAttributes:
    """What filters can ask for.

    Attributes:
        access_set_id: 0 means everybody in the organisation.
        create_time, update_time: microseconds since 1970, UTC; None when the source does not say.
        metadata: free, by name.
    """

    collection_id: str
    connection_id: str = ""
    access_set_id: int = 0
    type: str = ""
    author: str = ""
    language: str = ""
    create_time: int | None = None
    update_time: int | None = None
    outdated: bool = False
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage to index.

    Attributes:
        context: words put before ``text`` for both arms, such as title and headings.
        take_vector_from: id of a passage with the same text and context, whose vector may be taken over; empty for none.
        fingerprint: tells the caller this content and these attributes from others; kept and given back.
    """

    passage_id: str
    document_id: str
    generation: int
    text: str
    attributes: PassageAttributes
    context: str = ""
    take_vector_from: str = ""
    fingerprint: str = ""

    @property
    def searchable_text(self) -> str:
        """What both arms see."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage with what the two arms need of it.

    Shapes:
        vector: (dimension,).
    """

    passage: Passage
    vector: Vectors
    terms: str


@dataclass(frozen=True, slots=True)
class HeldPassage:
    """What the index knows of a passage, without its vector and terms."""

    passage_id: str
    document_id: str
    generation: int
    collection_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows that stood before, and those that a strong read still found afterwards."""

    count: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Generations:
    """Some generations of a document.

    Attributes:
        before: only those below this one; None for any.
        kept: but not these.
    """

    before: int | None = None
    kept: tuple[int, ...] = ()

    def __contains__(self, generation: int) -> bool:
        return (self.before is None or generation < self.before) and generation not in self.kept


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that one arm proposes, with what the other arm's measure needs.

    Shapes:
        vector: (dimension,), of length 1.

    Attributes:
        cosine: similarity to the query; None from the lexical arm, which has the vector instead.
        vector: None from the dense arm.
    """

    passage_id: str
    document_id: str
    generation: int
    terms: str
    cosine: float | None = None
    vector: Vectors | None = None
