from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.shapes import RequestBody, Shape


class EmbeddingModel(Shape):
    name: str
    revision: str = Field(description="A digest of weights and configuration; vectors of two revisions are not comparable.")
    dimension: int
    max_length_tokens: int
    normalised: bool
    state: str = Field(description="`UNLOADED`, `LOADING`, `READY` or `FAILED`.")
    device: str


class EmbeddingModelList(Shape):
    items: list[EmbeddingModel]
    current_model: str = Field(description="What new passages and queries use.")


class LanguageModel(Shape):
    name: str = Field(description="What requests call it; models of the organisation's own providers are `provider/model`.")
    engine: str


class LanguageModelList(Shape):
    items: list[LanguageModel]
    default_model: str = Field(description="Used when neither a question nor its assistant names one.")


class DefaultModelInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"default_model": "extractive"}]})

    default_model: str = Field(max_length=500, description="One of the list; empty: the one that the generator uses by itself.")


class Health(Shape):
    status: Literal["alive"] = "alive"


class Dependency(Shape):
    state: Literal["ready", "unavailable"]


class ReadinessReport(Shape):
    status: Literal["ready", "unavailable"]
    dependencies: dict[str, Dependency]


class Welcome(Shape):
    name: Literal["Lectern"] = "Lectern"
    documentation: str = "/docs"
    openapi: str = "/openapi.json"
    health: str = "/readyz"
