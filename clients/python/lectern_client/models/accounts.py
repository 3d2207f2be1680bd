"""Organisations, their keys, and the models that they may use."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from lectern_client.models.reply import Reply


class EmbeddingModel(Reply):
    """A model that turns texts into vectors; those of two revisions are not comparable."""

    name: str
    revision: str
    dimension: int
    max_length_tokens: int
    normalised: bool
    state: str
    device: str


class EmbeddingModels(Reply):
    """Every configured embedding model; ``current_model`` is used for new passages and queries."""

    items: list[EmbeddingModel]
    current_model: str


class LanguageModel(Reply):
    """A model that writes answers; those of the organisation's own providers are ``provider/model``."""

    name: str
    engine: str


class LanguageModels(Reply):
    """Every configured language model; ``default_model`` answers where neither question nor assistant names one."""

    items: list[LanguageModel]
    default_model: str


class ApiKey(Reply):
    """What may be known of an API key.

    Attributes:
        prefix: tells it apart: ``lk_<prefix>_…``.
        role: ``member`` uses the library, ``admin`` also manages keys, ``operator`` also organisations.
        last_used_time: up to a minute late; None: never.
    """

    id: str
    organisation_id: str = ""
    name: str
    prefix: str
    role: str
    create_time: datetime | None = None
    last_used_time: datetime | None = None
    expire_time: datetime | None = None
    revoke_time: datetime | None = None


class NewApiKey(ApiKey):
    """A key that was just made; ``key`` is shown this once."""

    key: str = Field(repr=False)


class Organisation(Reply):
    """A customer of the server; its documents are nobody else's."""

    id: str
    name: str
    create_time: datetime | None = None


class NewOrganisation(Organisation):
    """An organisation that was just made, with its first admin key."""

    api_key: NewApiKey
