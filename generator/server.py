"""Builds the generator from its settings and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from generator.adapters.prometheus_observer import PrometheusObserver
from generator.adapters.prompt_files import PromptFiles
from generator.configured_models import ConfiguredModels
from generator.domain.answering import Answering
from generator.domain.completing import Completing
from generator.domain.condensing import Condensing
from generator.domain.health import bring_up, watch
from generator.domain.titles import Titling
from generator.domain.token_counting import TokenCounting
from generator.servicers.generation import GenerationServicer
from generator.settings import GeneratorSettings
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer

SERVICE_NAME = generation_pb2.DESCRIPTOR.services_by_name["GenerationService"].full_name


@dataclass(frozen=True, slots=True)
class RunningService:
    """A generator that answers calls on ``port``.

    Attributes:
        failure: ends with the exception that the process should stop for; never ends otherwise.
    """

    port: int
    failure: asyncio.Task[None]


@asynccontextmanager
async def serve(settings: GeneratorSettings) -> AsyncIterator[RunningService]:
    """Serve until the context is left, which drains and stops.

    Entered once every model of this process has written a token; the port answers before, and health says what works.

    Raises:
        ModelCannotStart: a model of this process cannot be loaded.
        OSError: the address is taken.
    """
    async with AsyncExitStack() as stack:
        configured = ConfiguredModels(settings, stack)
        models = await configured.registry()
        answering = Answering(models, max_concurrent_answers=settings.max_concurrent_answers, observer=PrometheusObserver())
        servicer = GenerationServicer(
            answering=answering,
            condensing=Condensing(models, PromptFiles("condense")),
            titling=Titling(models, PromptFiles("title")),
            completing=Completing(models),
            counting=TokenCounting(models),
            models=models,
        )
        signer = CallerSigner(settings.internal_key.get_secret_value().encode())
        server = ServiceServer("generator", signer=signer, service_names=[SERVICE_NAME])
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(servicer, server.grpc_server)
        await server.start(settings.listen)
        stack.push_async_callback(server.stop)
        await bring_up(configured.in_process)
        await server.health.set_serving(True)
        watching = asyncio.create_task(watch(configured.in_process, server.health.set_serving))
        stack.push_async_callback(_end, watching)
        yield RunningService(server.port, watching)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
