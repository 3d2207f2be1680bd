"""Endpoints of language models that an organisation brings."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from lectern_client.models.reply import Reply


class ProviderModel(Reply):
    """A model at a provider; 0 tokens: the server's default."""

    name: str
    context_tokens: int = 0
    answer_tokens: int = 0


class Provider(Reply):
    """An endpoint; requests name its models ``name/model``. Its key is never shown.

    Attributes:
        key_hint: the last four characters of the key; empty for a short key or none.
    """

    id: str
    name: str
    kind: str = "openai"
    base_url: str
    models: list[ProviderModel] = Field(default_factory=list)
    has_key: bool = False
    key_hint: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
