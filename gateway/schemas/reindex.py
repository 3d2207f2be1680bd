from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict, Field

from gateway.domain.reindex import RebuildState
from gateway.schemas.shapes import RequestBody, Shape


class ReindexInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"follow": False}]})

    follow: bool = Field(default=False, description="Only show the newest rebuild, and begin none.")


class IndexRebuild(Shape):
    """How far a rebuild of the index is, or what came of it."""

    rebuild_id: str
    state: RebuildState
    walk: int = Field(description="How often the documents were walked through, this time included.")
    done: int = Field(description="Passages compared in this walk.")
    total: int = Field(description="Passages to compare in this walk, about.")
    embedded: int = Field(description="Passages written whose text went through the model.")
    reused: int = Field(description="Passages written whose vector was taken over from the old index.")
    reason: str = Field(description="Why it failed, or what it waits for; empty otherwise.")
    message: str
    create_time: datetime
