"""Builds the generator from its settings and runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from generator.adapters.prometheus_observer import PrometheusObserver
from generator.adapters.prompt_files import PromptFiles
from generator.domain.answering import Answering
from generator.domain.engine import Engine
from generator.domain.extractive import ExtractiveEngine
from generator.domain.prompted import PromptedEngine
from generator.servicers.generation import GenerationServicer
from generator.settings import EXTRACTIVE_MODEL, GeneratorSettings, OpenAiSettings
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer

SERVICE_NAME = generation_pb2.DESCRIPTOR.services_by_name["GenerationService"].full_name
PROMPT_VERSION = "v1"


@dataclass(frozen=True, slots=True)
class RunningService:
    """A generator that answers calls on ``port``."""

    port: int


@asynccontextmanager
async def serve(settings: GeneratorSettings) -> AsyncIterator[RunningService]:
    """Start the generator; leaving the context drains and stops it.

    Raises:
        OSError: the address is taken.
    """
    async with AsyncExitStack() as stack:
        engines = await _engines(settings, stack)
        answering = Answering(
            engines,
            default_model=settings.default_model or list(engines)[-1],
            max_concurrent_answers=settings.max_concurrent_answers,
            observer=PrometheusObserver(),
        )
        signer = CallerSigner(settings.internal_key.get_secret_value().encode())
        server = ServiceServer("generator", signer=signer, service_names=[SERVICE_NAME])
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(GenerationServicer(answering), server.grpc_server)
        await server.start(settings.listen)
        stack.push_async_callback(server.stop)
        await server.health.set_serving(True)
        yield RunningService(server.port)


async def _engines(settings: GeneratorSettings, stack: AsyncExitStack) -> dict[str, Engine]:
    """The configured models by name; the last is the default one."""
    engines: dict[str, Engine] = {EXTRACTIVE_MODEL: ExtractiveEngine()}
    if settings.openai.base_url:
        engines[settings.openai.model] = await _openai_engine(settings.openai, stack)
    return engines


async def _openai_engine(settings: OpenAiSettings, stack: AsyncExitStack) -> Engine:
    # The client library takes longer to import than all the rest, and most laptops never call an endpoint.
    from generator.adapters.openai_model import ModelTimes, OpenAiModel, openai_client  # noqa: PLC0415

    client = await stack.enter_async_context(
        openai_client(settings.base_url, settings.api_key.get_secret_value(), settings.connect_timeout_seconds)
    )
    times = ModelTimes(settings.first_token_timeout_seconds, settings.idle_timeout_seconds, settings.max_attempts)
    model = OpenAiModel(client, settings.model, times, temperature=settings.temperature, length_parameter=settings.length_parameter)
    return PromptedEngine(
        settings.model,
        model,
        PromptFiles("answer", PROMPT_VERSION),
        context_tokens=settings.context_tokens,
        answer_tokens=settings.answer_tokens,
    )
