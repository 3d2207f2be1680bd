from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from gateway.schemas.shapes import Change, Metadata, Page, RequestBody, ResourceName, Shape, own_id

Description = Annotated[str, Field(max_length=4000)]


class CollectionSettings(RequestBody):
    model_config = ConfigDict(from_attributes=True)

    passage_tokens: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Tokens that a passage should have, in the embedding model's own counting; 0: what the model's window allows. "
        "A change applies to documents that come in after it.",
    )


class CollectionInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "handbook", "description": "How we work", "metadata": {"team": "people"}}]}
    )

    name: ResourceName = Field(description="Unique within the organisation.")
    description: Description = Field(default="", description="For people.")
    metadata: Metadata = Field(default_factory=dict)
    settings: CollectionSettings = CollectionSettings()


class CollectionPatch(Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "How we work, since 2020", "metadata": {}}]})

    name: ResourceName | None = None
    description: Description | None = None
    metadata: Metadata | None = Field(default=None, description="Replaces all of it; `{}` clears it.")
    settings: CollectionSettings | None = None


class Collection(Shape):
    """A named set of documents."""

    id: str = own_id("collection_id")
    name: str
    description: str
    metadata: dict[str, JsonValue]
    settings: CollectionSettings
    document_count: int = Field(description="Documents that are not deleted.")
    passage_count: int = Field(description="Passages that searches can see.")
    create_time: datetime | None
    update_time: datetime | None


class CollectionList(Page[Collection]):
    pass


class CollectionDeleted(Shape):
    """What went with a collection."""

    document_count: int
    job_id: str = Field(description="The job that removes vectors and files.")
