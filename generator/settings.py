"""Settings of the generator; the only place that reads its environment."""

from __future__ import annotations

import json
import os
import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shared.settings import ServiceSettings, SettingsGroup

EXTRACTIVE_MODEL = "extractive"
_MODEL_NAME = r"^[A-Za-z0-9][\w.:/-]{0,127}$"


def _http_address(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", value):
        raise ValueError("the address must begin with http:// or https://, and hold neither user nor query")
    return value


Address = Annotated[str, AfterValidator(_http_address)]


class _WritingBounds(SettingsGroup):
    """What bounds a model that writes."""

    context_tokens: Annotated[int, Field(ge=512, description="Bound of instructions, passages and question together.")] = 6000
    answer_tokens: Annotated[int, Field(ge=16, description="Bound of an answer; a request may ask for less.")] = 1024
    max_concurrent: Annotated[int, Field(ge=1, le=10_000, description="Texts that it writes or that wait for it; more are refused.")] = 256
    first_token_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of waiting for the answer to begin.")] = 30.0
    idle_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of a pause within an answer.")] = 20.0


class OpenAiSettings(_WritingBounds):
    """An endpoint that speaks the OpenAI chat protocol; adds a model when ``base_url`` is set."""

    base_url: Annotated[Address, Field(description="Where /chat/completions begins, often ending in /v1; empty: no such model.")] = ""
    api_key: Annotated[SecretStr, Field(description="Key of the endpoint; empty for one that wants none.")] = SecretStr("")
    model: Annotated[str, Field(description="Name of the model at the endpoint; requests use the same name.")] = ""
    length_parameter: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        Field(description="How the endpoint calls the bound of an answer; newer models of OpenAI want the second."),
    ] = "max_tokens"
    temperature: Annotated[float | None, Field(ge=0, le=2, description="0 keeps closest to the passages; unset: the endpoint's own.")] = (
        None
    )
    connect_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of connecting.")] = 5.0
    max_attempts: Annotated[int, Field(ge=1, le=10, description="Tries when the endpoint answers 429 or 503.")] = 4

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.base_url) != bool(self.model):
            raise ValueError("base_url and model must be set together")
        return self


class ExtractiveModelSettings(SettingsGroup):
    """Another name for the engine that quotes."""

    name: Annotated[str, Field(pattern=_MODEL_NAME, description="What requests call the model.")]
    engine: Literal["extractive"]


class OpenAiModelSettings(OpenAiSettings):
    """One entry of `GeneratorSettings.models` behind an endpoint."""

    name: Annotated[str, Field(pattern=_MODEL_NAME, description="What requests call the model.")]
    engine: Literal["openai"]
    base_url: Annotated[Address, Field(min_length=1, description="As `OpenAiSettings.base_url`.")]
    model: Annotated[str, Field(min_length=1, description="Name of the model at the endpoint.")]


class VllmModelSettings(_WritingBounds):
    """One entry of `GeneratorSettings.models` that vLLM runs inside this process."""

    name: Annotated[str, Field(pattern=_MODEL_NAME, description="What requests call the model.")]
    engine: Literal["vllm"]
    model: Annotated[
        str, Field(min_length=1, description="The model's folder, or its name in the local cache of the model hub; nothing is downloaded.")
    ]
    dtype: Annotated[Literal["auto", "float16", "bfloat16", "float32"], Field(description="Type of the weights; `auto`: the folder's.")] = (
        "auto"
    )
    gpus: Annotated[int, Field(ge=1, le=64, description="GPUs that one copy of the model is spread over.")] = 1
    gpu_memory_share: Annotated[float, Field(gt=0, le=1, description="Share of each GPU's memory for weights and key-value cache.")] = 0.9
    cpu_cache_gib: Annotated[int, Field(ge=1, description="Memory of the key-value cache where the model runs on a CPU.")] = 4
    max_running: Annotated[
        int, Field(ge=1, le=4096, description="Texts that are written at once; the others of `max_concurrent` wait.")
    ] = 64
    template_arguments: Annotated[
        dict[str, str | int | float | bool],
        Field(
            default_factory=lambda: {"enable_thinking": False},
            description="What the chat template is told besides the messages; models that can think aloud are told not to.",
        ),
    ]
    temperature: Annotated[float, Field(ge=0, le=2, description="0 keeps closest to the passages.")] = 0.0
    check_seconds: Annotated[
        float, Field(gt=0, le=3600, description="After so long without a finished text the model is asked for one token.")
    ] = 60.0

    @model_validator(mode="after")
    def _queue_holds_what_runs(self) -> Self:
        if self.max_concurrent < self.max_running:
            raise ValueError(f"{self.name}: max_concurrent must be at least max_running")
        return self


ModelSettings = Annotated[ExtractiveModelSettings | OpenAiModelSettings | VllmModelSettings, Discriminator("engine")]


class EndpointsSettings(_WritingBounds):
    """What holds for models that organisations bring; each of them has its own bounds of tokens or these."""

    max_clients: Annotated[int, Field(ge=1, le=10_000, description="Endpoints that connections are kept to.")] = 64
    connect_timeout_seconds: Annotated[float, Field(gt=0, description="Bound of connecting.")] = 5.0
    max_attempts: Annotated[int, Field(ge=1, le=10, description="Tries when an endpoint answers 429 or 503.")] = 4
    allowed_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(description='Private networks that endpoints may be in, as a JSON list: `["10.1.0.0/16"]`.'),
    ] = ()


def _from_json(value: object) -> object:
    """A JSON text as what it says; the fault of one that is none stands among the others."""
    return json.loads(value) if isinstance(value, str) else value


class GeneratorSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LECTERN_GENERATOR_")

    listen: Annotated[str, Field(description="host:port of the RPC server.")] = "127.0.0.1:8083"
    default_model: Annotated[
        str, Field(description="Model of requests that name none; empty: the endpoint's, else the first of the list, else extractive.")
    ] = ""
    max_concurrent_answers: Annotated[int, Field(ge=1, description="Answers written at once; more are refused.")] = 256
    openai: OpenAiSettings = OpenAiSettings()
    models: Annotated[
        tuple[ModelSettings, ...],
        NoDecode,
        BeforeValidator(_from_json),
        Field(description="Further models: a JSON list of objects; see `docs/how-to/choose-a-language-model.md`."),
    ] = ()
    endpoints: EndpointsSettings = EndpointsSettings()

    @model_validator(mode="after")
    def _model_names_are_known_and_unique(self) -> Self:
        names = self.model_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"more than one model is called {', '.join(twice)}; {EXTRACTIVE_MODEL} is always there, so that name is taken")
        if self.default_model and self.default_model not in names:
            raise ValueError(f"default_model must be one of the configured models: {', '.join(names)}")
        return self

    @property
    def model_names(self) -> list[str]:
        """Every model by its name, the one that is there without being configured first."""
        alone = [self.openai.model] if self.openai.model else []
        return [EXTRACTIVE_MODEL, *alone, *(model.name for model in self.models)]

    @property
    def default_model_name(self) -> str:
        """The model of requests that name none."""
        names = self.model_names
        return self.default_model or (names[1] if len(names) > 1 else EXTRACTIVE_MODEL)


def quieten_vllm() -> None:
    """Tell vLLM, by the only way that its processes hear, to report on nobody, to download nothing, and to say only what is wrong.

    It must be told before it is imported.
    """
    os.environ.update(
        {
            "DO_NOT_TRACK": "1",
            "VLLM_DO_NOT_TRACK": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            "PYTHONWARNINGS": "ignore",
            # The engine's process starts afresh: a copy of this one would hold our sockets and locks.
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        }
    )
