from __future__ import annotations

from pydantic import Field, JsonValue

from gateway.schemas.shapes import OptionalText, Shape


class Passage(Shape):
    """A piece of a document."""

    passage_id: str
    document_id: str
    document_name: str
    document_type: OptionalText
    external_id: OptionalText
    collection_id: str
    collection_name: str
    ordinal: int = Field(description="Position in the document, from 0.")
    text: str
    page: int | None = Field(description="On which it starts, from 1; null when the format has no pages.")
    start: int = Field(description="Character offset in the document's text at which it starts.")
    end: int = Field(description="Character offset at which it ends.")
    headings: list[str] = Field(description="Above it, outermost first.")
    anchor: OptionalText = Field(description="Anchor of the nearest heading.")
    uri: OptionalText = Field(description="Where the original can be opened, at this passage where the format allows it.")
    metadata: dict[str, JsonValue] = Field(description="The document's.")


class PassageInContext(Passage):
    before: list[Passage] = Field(description="The passages before it, in reading order.")
    after: list[Passage] = Field(description="The passages after it, in reading order.")
