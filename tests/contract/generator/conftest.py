"""A generator that listens on a socket, and clients that speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from generator.server import RunningService, serve
from generator.settings import GeneratorSettings
from lectern.generator.v1 import generation_pb2_grpc
from shared.caller import Caller
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel

if TYPE_CHECKING:
    # The asynchronous stub is a name of the typed stubs alone.
    StartGenerator = Callable[..., Awaitable[generation_pb2_grpc.GenerationServiceAsyncStub]]


@pytest.fixture
async def start_generator(internal_key: bytes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartGenerator]:
    """Starts a generator with the given environment (names without their prefix) and returns a client of it."""
    key = internal_key.hex()
    async with AsyncExitStack() as stack:

        async def start(**environment: str) -> generation_pb2_grpc.GenerationServiceAsyncStub:
            monkeypatch.setenv("LECTERN_INTERNAL_KEY", key)
            monkeypatch.setenv("LECTERN_GENERATOR_LISTEN", "127.0.0.1:0")
            for name, value in environment.items():
                monkeypatch.setenv(f"LECTERN_GENERATOR_{name}", value)
            running: RunningService = await stack.enter_async_context(serve(GeneratorSettings()))
            channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{running.port}", CallerSigner(key.encode())))
            stack.enter_context(acting_for(Caller("org", "service:test")))
            return generation_pb2_grpc.GenerationServiceStub(channel)

        yield start
