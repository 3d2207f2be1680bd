"""A prompt, collections and a model under a name."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from lectern_client.models.reply import Reply


class Assistant(Reply):
    """What questions can be put to.

    Attributes:
        visibility: ``organisation``, or ``private`` to its owner and admins.
        collections: ids or names; empty: every collection.
        model: empty: the default one.
        language: of its answers; empty: the question's.
        owner_id: the API key that made it; None: it is built in, and nobody can change it.
    """

    id: str
    name: str
    description: str = ""
    prompt: str = ""
    visibility: str = "organisation"
    avatar: str = ""
    starter_messages: list[str] = Field(default_factory=list)
    collections: list[str] = Field(default_factory=list)
    model: str = ""
    language: str = ""
    owner_id: str | None = None
    built_in: bool = False
    create_time: datetime | None = None
    update_time: datetime | None = None
