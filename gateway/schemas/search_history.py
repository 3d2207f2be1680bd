from __future__ import annotations

from datetime import datetime

from pydantic import Field, JsonValue

from gateway.schemas.shapes import Page, Shape, own_id


class PastSearch(Shape):
    """A search that you made."""

    id: str = own_id("search_id")
    query: str
    request: dict[str, JsonValue] = Field(description="What was asked beside the query; what was left out is left out here.")
    hit_count: int
    total_ms: float = Field(description="How long it took.")
    trace_id: str = Field(description="Every service logged it under this.")
    create_time: datetime


class PastSearchList(Page[PastSearch]):
    pass
