"""Makes the models that the settings describe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from generator.adapters.prometheus_observer import PrometheusModelObserver
from generator.adapters.prompt_files import PromptFiles
from generator.adapters.waiting import Waiting
from generator.domain.bounded_model import BoundedModel
from generator.domain.extractive import ExtractiveEngine
from generator.domain.health import Watched
from generator.domain.language_model import LanguageModel
from generator.domain.model_source import ModelSource
from generator.domain.models import ENDPOINT_LABEL, Endpoint, Model, ModelRegistry, TokenLimits
from generator.domain.prompted import PromptedEngine
from generator.settings import (
    EXTRACTIVE_MODEL,
    EndpointsSettings,
    ExtractiveModelSettings,
    GeneratorSettings,
    OpenAiModelSettings,
    OpenAiSettings,
    VllmModelSettings,
    quieten_vllm,
)

if TYPE_CHECKING:
    from generator.adapters.endpoint_models import OpenAiEndpoints


class ConfiguredModels:
    """Makes models that live until ``stack`` is closed. Those ``in_process`` have still to be loaded."""

    def __init__(self, settings: GeneratorSettings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self.in_process: list[Watched] = []
        self._prompts = PromptFiles("answer")

    async def registry(self) -> ModelRegistry:
        """Every model of the settings, and the way to those that requests bring."""
        models = {EXTRACTIVE_MODEL: Model(EXTRACTIVE_MODEL, ExtractiveEngine())}
        if self._settings.openai.base_url:
            name = self._settings.openai.model
            models[name] = await self._openai(name, ModelSource(name, own="LECTERN_GENERATOR_OPENAI__{}"), self._settings.openai)
        for entry in self._settings.models:
            models[entry.name] = await self._listed(entry)
        endpoints = LazyEndpoints(self._settings.endpoints, self)
        self._stack.push_async_callback(endpoints.close)
        return ModelRegistry(models, default=self._settings.default_model_name, endpoints=endpoints)

    async def _listed(self, entry: ExtractiveModelSettings | OpenAiModelSettings | VllmModelSettings) -> Model:
        match entry:
            case ExtractiveModelSettings():
                return Model(entry.name, ExtractiveEngine())
            case OpenAiModelSettings():
                return await self._openai(entry.name, ModelSource(entry.name), entry)
            case VllmModelSettings():
                return self._vllm(entry)

    async def _openai(self, name: str, source: ModelSource, settings: OpenAiSettings) -> Model:
        # The client library takes longer to import than all the rest, and most laptops never call an endpoint.
        from generator.adapters.openai_model import OpenAiModel, openai_client  # noqa: PLC0415

        client = await self._stack.enter_async_context(
            openai_client(settings.base_url, settings.api_key.get_secret_value(), settings.connect_timeout_seconds)
        )
        model = OpenAiModel(
            client,
            settings.model,
            Waiting(source, settings.first_token_timeout_seconds, settings.idle_timeout_seconds),
            max_attempts=settings.max_attempts,
            temperature=settings.temperature,
            length_parameter=settings.length_parameter,
        )
        writer = BoundedModel(model, source, max_concurrent=settings.max_concurrent, observer=PrometheusModelObserver(name))
        return self.model(name, writer, TokenLimits(settings.context_tokens, settings.answer_tokens))

    def _vllm(self, entry: VllmModelSettings) -> Model:
        quieten_vllm()
        # Its template language is a package that only vLLM's environment has.
        from generator.adapters.vllm_engine import VllmSpec  # noqa: PLC0415
        from generator.adapters.vllm_model import VllmModel  # noqa: PLC0415

        spec = VllmSpec(
            model=entry.model,
            dtype=entry.dtype,
            window_tokens=entry.context_tokens + entry.answer_tokens,
            max_running=entry.max_running,
            max_concurrent=entry.max_concurrent,
            gpus=entry.gpus,
            gpu_memory_share=entry.gpu_memory_share,
            cpu_cache_gib=entry.cpu_cache_gib,
            temperature=entry.temperature,
            template_arguments=entry.template_arguments,
        )
        source = ModelSource(entry.name)
        model = VllmModel(spec, Waiting(source, entry.first_token_timeout_seconds, entry.idle_timeout_seconds))
        self._stack.push_async_callback(model.close)
        self.in_process.append(Watched(entry.name, model, entry.check_seconds))
        writer = BoundedModel(model, source, max_concurrent=entry.max_concurrent, observer=PrometheusModelObserver(entry.name))
        return self.model(entry.name, writer, TokenLimits(entry.context_tokens, entry.answer_tokens))

    def model(self, name: str, writer: LanguageModel, limits: TokenLimits) -> Model:
        """What answers with ``writer``, and continues any conversation with it."""
        engine = PromptedEngine(name, writer, self._prompts, context_tokens=limits.context, answer_tokens=limits.answer)
        return Model(name, engine, writer, limits)


class LazyEndpoints:
    """`OpenAiEndpoints`, made when a request first brings an endpoint: most installations never see one."""

    def __init__(self, settings: EndpointsSettings, models: ConfiguredModels) -> None:
        self._settings = settings
        self._models = models
        self._endpoints: OpenAiEndpoints | None = None

    @asynccontextmanager
    async def open(self, endpoint: Endpoint) -> AsyncIterator[Model]:
        """As `OpenAiEndpoints.open`."""
        if self._endpoints is None:
            self._endpoints = self._made()
        async with self._endpoints.open(endpoint) as model:
            yield model

    async def close(self) -> None:
        if self._endpoints is not None:
            await self._endpoints.close()

    def _made(self) -> OpenAiEndpoints:
        from generator.adapters.endpoint_models import EndpointBounds, OpenAiEndpoints  # noqa: PLC0415  # as in `_openai`

        settings = self._settings
        bounds = EndpointBounds(
            TokenLimits(settings.context_tokens, settings.answer_tokens),
            max_clients=settings.max_clients,
            max_concurrent=settings.max_concurrent,
            max_attempts=settings.max_attempts,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            first_token_timeout_seconds=settings.first_token_timeout_seconds,
            idle_timeout_seconds=settings.idle_timeout_seconds,
            allowed_networks=settings.allowed_networks,
        )
        return OpenAiEndpoints(bounds, PrometheusModelObserver(ENDPOINT_LABEL), self._models.model)
