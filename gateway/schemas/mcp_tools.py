"""What agents get from tools: less than the HTTP API gives, because a model reads all of it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field

from gateway.domain import ask as domain
from gateway.domain.collections import Collection
from gateway.domain.listing import Listing
from gateway.domain.passages import Passage, PassageInContext
from gateway.domain.search import Found
from gateway.schemas.ask import Citation, to_citation


class ToolPassage(BaseModel):
    passage_id: str = Field(description="For read_passage.")
    document_name: str
    collection_name: str
    page: int | None
    headings: list[str]
    uri: str | None = Field(description="Where the original can be opened.")
    text: str

    @classmethod
    def of(cls, passage: Passage) -> Self:
        return cls(
            passage_id=passage.passage_id,
            document_name=passage.document_name,
            collection_name=passage.collection_name,
            page=passage.page,
            headings=list(passage.headings),
            uri=passage.uri or None,
            text=passage.text,
        )


class ToolHit(ToolPassage):
    score: float = Field(default=0.0, description="Between 0 and 1; comparable within one result only.")


class FoundPassages(BaseModel):
    passages: list[ToolHit] = Field(description="Best first.")

    @classmethod
    def of(cls, found: Found) -> Self:
        return cls(passages=[ToolHit.of(hit.passage).model_copy(update={"score": hit.candidate.score}) for hit in found.hits])


class ReadPassage(BaseModel):
    passage: ToolPassage
    before: list[ToolPassage] = Field(description="In reading order.")
    after: list[ToolPassage] = Field(description="In reading order.")

    @classmethod
    def of(cls, got: PassageInContext) -> Self:
        before, after = ([ToolPassage.of(each) for each in side] for side in (got.before, got.after))
        return cls(passage=ToolPassage.of(got.passage), before=before, after=after)


class ToolAnswer(BaseModel):
    answer: str = Field(description="Its markers `[n]` refer to the citations.")
    answered: bool = Field(description="Whether the documents hold an answer.")
    citations: list[Citation]
    model: str

    @classmethod
    def of(cls, complete: domain.Complete) -> Self:
        citations = [to_citation(citation) for citation in complete.citations]
        return cls(answer=complete.answer, answered=complete.end.answered, citations=citations, model=complete.end.model)


class ToolCollection(BaseModel):
    name: str
    description: str
    document_count: int


class CollectionNames(BaseModel):
    collections: list[ToolCollection]
    next_page_token: str | None = Field(description="Give it as page_token for the next page; null on the last one.")

    @classmethod
    def of(cls, listing: Listing[Collection]) -> Self:
        listed = [
            ToolCollection(name=each.name, description=each.description, document_count=each.document_count) for each in listing.items
        ]
        return cls(collections=listed, next_page_token=listing.next_token or None)
