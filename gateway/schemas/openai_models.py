"""OpenAI's shapes of models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Kind = Literal["assistant", "language", "embedding"]


class OpenAIModel(BaseModel):
    id: str = Field(description="The name that requests use.")
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Unix time at which an assistant was made; 0 for a model, which does not say.")
    owned_by: Literal["lectern"] = "lectern"
    kind: Kind = Field(description="Not OpenAI's: `assistant` and `language` for /v1/chat/completions, `embedding` for /v1/embeddings.")


class OpenAIModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]
