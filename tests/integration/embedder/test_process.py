"""The embedder's process: how it starts, how it refuses to, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest

from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from shared.rpc.status import from_rpc_error
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, ROOT, EmbedderProcess

NO_MILVUS = "http://127.0.0.1:9"
# The real programme, but its device is lost as soon as a file says so.
LOSES_ITS_DEVICE = """
import pathlib, sys
from embedder.adapters.transformers.encoder import TransformersEncoder
from embedder.domain.encoding import EncoderFailed
from embedder.__main__ import main

encode_core = TransformersEncoder.encode_core

def lose(self, prepared):
    if pathlib.Path(sys.argv[1]).exists():
        raise EncoderFailed("the device is gone")
    return encode_core(self, prepared)

TransformersEncoder.encode_core = lose
main()
"""


def start_and_fail(**environment: str) -> tuple[int, str]:
    """Status and error text of an embedder that cannot start."""
    settings = {"LECTERN_INTERNAL_KEY": "k" * 32, "LECTERN_EMBEDDER_MILVUS_URI": NO_MILVUS} | environment
    ended = subprocess.run(
        [sys.executable, "-m", "embedder"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"} | settings,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ended.returncode, ended.stderr


async def test_a_lost_device_ends_the_calls_and_then_the_process_with_an_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    embedder = EmbedderProcess(tmp_path, NO_MILVUS, command=("-c", LOSES_ITS_DEVICE, str(gone)), ENGINE="torch")
    try:
        embedder.wait_until(serving=True, service=EMBEDDING_SERVICE)
        async with open_channel(embedder.target, embedder.signer) as channel:
            with acting_for(Caller("org", "service:test")):
                embedding = EmbeddingServiceStub(channel)
                await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["pump"]))
                gone.touch()
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["pump"]), timeout=30)
        assert from_rpc_error(failed.value).reason in {"MODEL_STOPPED", "UNAVAILABLE"}
        assert await asyncio.to_thread(embedder.process.wait, 60) == 1
    finally:
        embedder.close()


async def test_a_call_in_flight_is_answered_before_the_process_ends(tmp_path: Path) -> None:
    embedder = EmbedderProcess(tmp_path, NO_MILVUS)
    try:
        embedder.wait_until(serving=True, service=EMBEDDING_SERVICE)
        async with open_channel(embedder.target, embedder.signer) as channel:
            with acting_for(Caller("org", "service:test")):
                embedding = EmbeddingServiceStub(channel)
                await embedding.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["pump"]))
                request = embedding_pb2.EmbedTextsRequest(texts=["The pump stops. " * 40] * 60)
                call = asyncio.ensure_future(embedding.EmbedTexts(request))
                await asyncio.sleep(0.2)  # let the request reach the server; there is no sign of that short of its answer
                stopped = await asyncio.to_thread(embedder.stop)
                assert (await call).vectors.count == 60
        assert stopped == 0
    finally:
        embedder.close()


def test_a_misspelt_setting_is_named_with_the_nearest_one() -> None:
    status, text = start_and_fail(LECTERN_EMBEDDER_MILVUS_URL="http://127.0.0.1:1")
    assert status == 2
    assert "LECTERN_EMBEDDER_MILVUS_URI" in text


def test_a_model_that_is_none_stops_the_start_with_the_reason(tmp_path: Path) -> None:
    status, text = start_and_fail(LECTERN_EMBEDDER_MODEL=str(tmp_path))
    assert status == 2
    assert "modules.json is missing" in text
    assert "Traceback" not in text


def test_a_port_that_is_taken_stops_the_start_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, text = start_and_fail(LECTERN_EMBEDDER_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
    assert status == 2
    assert "Cannot listen" in text
    assert "Traceback" not in text


async def test_the_metrics_page_tells_of_queue_batches_and_time(tmp_path: Path) -> None:
    port = free_port()
    embedder = EmbedderProcess(tmp_path, NO_MILVUS, METRICS_PORT=str(port))
    try:
        embedder.wait_until(serving=True, service=EMBEDDING_SERVICE)
        async with open_channel(embedder.target, embedder.signer) as channel:
            with acting_for(Caller("org", "service:test")):
                await EmbeddingServiceStub(channel).EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=["pump", "valve"]))
        page = (await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/metrics")).text
    finally:
        embedder.close()
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    assert float(figures["lectern_embedder_texts_total"]) == 2
    assert float(figures["lectern_embedder_tokens_total"]) == 6
    assert float(figures["lectern_embedder_inference_seconds_total"]) > 0
    assert float(figures['lectern_embedder_queued_tokens{lane="interactive"}']) == 0
    assert float(figures['lectern_embedder_queue_seconds_count{lane="interactive"}']) == 2
    assert float(figures["lectern_embedder_batch_fill_ratio_count"]) == float(figures["lectern_embedder_padding_ratio_count"]) >= 1
