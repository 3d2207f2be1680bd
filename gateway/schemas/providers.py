from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from gateway.domain.providers import ProviderChange, ProviderDraft, ProviderKind
from gateway.domain.providers import ProviderModel as DomainModel
from gateway.schemas.shapes import Change, Page, RequestBody, ResourceName, Shape, own_id

_MAX_TOKENS = 10_000_000


class ProviderModel(RequestBody):
    """A model at a provider."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(min_length=1, max_length=200, pattern=r"^\S+$", description="As the endpoint calls it.")
    context_tokens: int = Field(default=0, ge=0, le=_MAX_TOKENS, description="Bound of a prompt; 0: the generator's default.")
    answer_tokens: int = Field(default=0, ge=0, le=_MAX_TOKENS, description="Bound of an answer; 0: the generator's default.")

    def to_model(self) -> DomainModel:
        return DomainModel(self.name, self.context_tokens, self.answer_tokens)


def _distinct(models: list[ProviderModel]) -> list[ProviderModel]:
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError("a model stands there twice")
    return models


BaseUrl = Annotated[
    str,
    Field(
        max_length=2000, pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", description="Where /chat/completions begins, often ending in /v1."
    ),
]
ApiKey = Annotated[
    SecretStr, Field(max_length=4000, description="Key of the endpoint; empty for one that wants none. It is never shown again.")
]
Models = Annotated[list[ProviderModel], Field(min_length=1, max_length=100), AfterValidator(_distinct)]


class ProviderInput(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "acme",
                    "base_url": "https://models.example.org/v1",
                    "key": "sk-…",
                    "models": [{"name": "large", "context_tokens": 32000}],
                }
            ]
        }
    )

    name: ResourceName = Field(description="Unique within the organisation. Its models are called `name/model`.")
    kind: ProviderKind = Field(
        default=ProviderKind.OPENAI, description="The protocol: OpenAI's chat completions, which most servers speak."
    )
    base_url: BaseUrl
    key: ApiKey = SecretStr("")
    models: Models

    def to_draft(self) -> ProviderDraft:
        models = [model.to_model() for model in self.models]
        return ProviderDraft(self.name, self.kind, self.base_url, models, self.key.get_secret_value())


class ProviderPatch(Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "sk-…"}]})

    base_url: BaseUrl | None = Field(default=None, description="A new address needs the key again, if there is one.")
    key: ApiKey | None = Field(default=None, description="Replaces the key; empty: there is none any more.")
    models: Models | None = None

    def to_change(self) -> ProviderChange:
        models = None if self.models is None else [model.to_model() for model in self.models]
        key = None if self.key is None else self.key.get_secret_value()
        return ProviderChange(self.base_url, models, key)


class Provider(Shape):
    """An endpoint of language models. Its key is sealed and never shown."""

    id: str = own_id("provider_id")
    name: str
    kind: ProviderKind
    base_url: str
    models: list[ProviderModel]
    has_key: bool
    key_hint: str = Field(description="The last four characters of the key; empty for a short key or none.")
    create_time: datetime
    update_time: datetime


class ProviderList(Page[Provider]):
    pass
