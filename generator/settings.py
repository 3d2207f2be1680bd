"""Settings of the generator; the only place that reads its environment."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings, SettingsGroup

EXTRACTIVE_MODEL = "extractive"


class OpenAiSettings(SettingsGroup):
    """An endpoint that speaks the OpenAI chat protocol; adds a model when ``base_url`` is set."""

    base_url: Annotated[str, Field(description="Where /chat/completions begins, often ending in /v1; empty: no such model.")] = ""
    api_key: Annotated[SecretStr, Field(description="Key of the endpoint; empty for one that wants none.")] = SecretStr("")
    model: Annotated[str, Field(description="Name of the model at the endpoint; requests use the same name.")] = ""
    context_tokens: Annotated[int, Field(ge=512, description="Bound of instructions, passages and question together.")] = 6000
    answer_tokens: Annotated[int, Field(ge=16, description="Bound of an answer; a request may ask for less.")] = 1024
    length_parameter: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        Field(description="How the endpoint calls the bound of an answer; newer models of OpenAI want the second."),
    ] = "max_tokens"
    temperature: Annotated[float | None, Field(ge=0, le=2, description="0 keeps closest to the passages; unset: the endpoint's own.")] = (
        None
    )
    connect_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of connecting.")] = 5.0
    first_token_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of waiting for the answer to begin.")] = 30.0
    idle_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of a pause within an answer.")] = 20.0
    max_attempts: Annotated[int, Field(ge=1, le=10, description="Tries when the endpoint answers 429 or 503.")] = 4

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must begin with http:// or https://")
        if bool(self.base_url) != bool(self.model):
            raise ValueError("base_url and model must be set together")
        return self


class GeneratorSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LECTERN_GENERATOR_")

    listen: Annotated[str, Field(description="host:port of the RPC server.")] = "127.0.0.1:8083"
    default_model: Annotated[str, Field(description="Model of requests that name none; empty: the endpoint's, or extractive.")] = ""
    max_concurrent_answers: Annotated[int, Field(ge=1, description="Answers written at once; more are refused.")] = 256
    openai: OpenAiSettings = OpenAiSettings()

    @model_validator(mode="after")
    def _default_model_exists(self) -> Self:
        if self.openai.model == EXTRACTIVE_MODEL:
            raise ValueError("openai.model may not be called extractive: that name is taken")
        known = [EXTRACTIVE_MODEL, *([self.openai.model] if self.openai.model else [])]
        if self.default_model and self.default_model not in known:
            raise ValueError(f"default_model must be one of the configured models: {', '.join(known)}")
        return self
