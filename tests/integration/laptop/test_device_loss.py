"""The embedder's device is lost or hangs: its callers hear of it, its process ends, and the supervisor brings it back."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.laptop.child import last_lines
from deploy.laptop.home import Home
from deploy.laptop.probes import grpc_health
from deploy.laptop.report import State
from deploy.laptop.runner import Pace, ServiceSpec
from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.caller import Caller
from shared.errors import AppError, Status
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel, peer_errors
from shared.vectors import unpack
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, ROOT
from tests.unit.laptop.conftest import Watched

PACE = Pace(first_restart_seconds=0.05, probe_seconds=0.2)
TEXTS = ["The pump stops.", "The valve is closed."]


@dataclass(frozen=True)
class Embedder:
    """An embedder under a supervisor."""

    stack: Watched
    channel: grpc.aio.Channel
    orders: Path

    async def embed(self) -> np.ndarray[Any, Any]:
        """Raises AppErrors, as a service that calls the embedder meets them."""
        with acting_for(Caller("org", "service:test")), peer_errors("embedder"):
            response = await EmbeddingServiceStub(self.channel).EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=TEXTS), timeout=60)
        return unpack(response.vectors)

    async def embed_at_last(self) -> tuple[np.ndarray[Any, Any], list[AppError]]:
        """Try again whenever a refusal says that it makes sense, as late as it says; the vectors, and the refusals before them."""
        refusals: list[AppError] = []
        async with asyncio.timeout(90):
            while True:
                try:
                    return await self.embed(), refusals
                except AppError as error:
                    refusals.append(error)
                    if error.retry_after_seconds is None:
                        raise
                    await asyncio.sleep(error.retry_after_seconds)


@pytest.fixture
async def embedder(
    home: Home, supervised: Callable[..., AbstractAsyncContextManager[Watched]], milvus_uri: str, tmp_path: Path
) -> AsyncIterator[Embedder]:
    key, target, orders = secrets.token_hex(32), f"127.0.0.1:{free_port()}", tmp_path / "orders"
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
        "LECTERN_INTERNAL_KEY": key,
        "LECTERN_EMBEDDER_LISTEN": target,
        "LECTERN_EMBEDDER_MILVUS_URI": milvus_uri,
        "LECTERN_EMBEDDER_INDEX_ALIAS": "device_loss",
        "LECTERN_EMBEDDER_STALL_SECONDS": "1",
    }
    command = [sys.executable, "-m", "tests.integration.embedder.ill_device", str(orders)]
    spec = ServiceSpec("embedder", command, environment, grpc_health(target), url=target)
    async with supervised(spec, pace=PACE) as stack, open_channel(target, CallerSigner(key.encode())) as channel:
        await stack.until("embedder", lambda part: part.state is State.READY)
        yield Embedder(stack, channel, orders)


async def stopped_serving(channel: grpc.aio.Channel) -> None:
    """Return once the embedding service says that it does not serve any more."""
    watch: Any = health_pb2_grpc.HealthStub(channel)
    async for response in watch.Watch(health_pb2.HealthCheckRequest(service=EMBEDDING_SERVICE), timeout=90):
        if response.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return
    raise AssertionError("its health stayed as it was")


@pytest.mark.parametrize("illness", ["lost", "hung"])
async def test_an_embedder_whose_device_is_gone_ends_and_comes_back_and_its_callers_succeed_when_they_try_again(
    embedder: Embedder, home: Home, illness: str
) -> None:
    before = await embedder.embed()
    watching = asyncio.create_task(stopped_serving(embedder.channel))
    embedder.orders.write_text(illness)
    after, refusals = await embedder.embed_at_last()
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert {refusal.status for refusal in refusals} <= {Status.UNAVAILABLE}
    await watching
    again = await embedder.stack.until("embedder", lambda part: part.restarts == 1 and part.state is State.READY)
    assert again.process is not None
    log = "\n".join(last_lines(home.log("embedder"), 200))
    assert "model_failed" in log
    assert ("has not come back from the device" in log) is (illness == "hung")
