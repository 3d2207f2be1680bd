"""A collection of documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from lectern_client.models.reply import Reply


class Collection(Reply):
    """A named set of documents."""

    id: str
    name: str
    description: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    document_count: int = 0
    passage_count: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None


class CollectionDeleted(Reply):
    """What went with a collection; ``job_id`` purges it."""

    document_count: int = 0
    job_id: str = ""
