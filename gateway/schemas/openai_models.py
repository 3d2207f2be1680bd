"""OpenAI's shapes of models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class OpenAIModel(BaseModel):
    id: str = Field(description="The name that requests use.")
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Always 0: a model does not say when it was made.")
    owned_by: Literal["lectern"] = "lectern"
    kind: Literal["embedding"] = Field(default="embedding", description="Not OpenAI's: what the model is for.")


class OpenAIModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]
