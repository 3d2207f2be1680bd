"""What the Prometheus page shows after work, and that the README names it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lectern.embedder.v1 import embedding_pb2
from lectern.embedder.v1.embedding_pb2_grpc import EmbeddingServiceStub
from shared.caller import Caller
from shared.rpc.channel import acting_for, open_channel
from tests.conftest import free_port
from tests.contract.embedder.process import EMBEDDING_SERVICE, ROOT, EmbedderProcess

TEXT = "The invoice must be paid within thirty days of delivery."


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def embedder(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbedderProcess]:
    started = EmbedderProcess(tmp_path_factory.mktemp("embedder"), "http://127.0.0.1:1", METRICS_PORT=str(port))
    try:
        started.wait_until(serving=True, service=EMBEDDING_SERVICE)
        yield started
    finally:
        started.close()


async def measured(port: int) -> dict[tuple[str, str], float]:
    """Samples by name and lane."""
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    families = text_string_to_metric_families(page)
    return {(sample.name, sample.labels.get("lane", "")): sample.value for family in families for sample in family.samples}


async def test_work_shows_in_every_measurement_that_the_readme_names(embedder: EmbedderProcess, port: int) -> None:
    with acting_for(Caller("org", "service:test")):
        async with open_channel(embedder.target, embedder.signer) as channel:
            stub = EmbeddingServiceStub(channel)
            await stub.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[TEXT]))
            await stub.EmbedTexts(embedding_pb2.EmbedTextsRequest(texts=[TEXT] * 40, lane=embedding_pb2.LANE_BULK))
    samples = await measured(port)
    section = (ROOT / "embedder" / "README.md").read_text().partition("## Measurements")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(lectern_\w+)`", section))
    assert len(named) >= 9
    shown = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name, _ in samples}
    assert named - shown == {"lectern_embedder_dropped_texts_total"}  # shown once a text was dropped
    for lane, texts in (("interactive", 1), ("bulk", 40)):
        assert samples["lectern_embedder_queue_seconds_count", lane] == texts
        assert samples["lectern_embedder_queued_tokens", lane] == 0
    assert samples["lectern_embedder_texts_total", ""] >= 41
    assert samples["lectern_embedder_tokens_total", ""] >= 41 * 15
    assert samples["lectern_embedder_inference_seconds_total", ""] > 0
    assert samples["lectern_embedder_batch_fill_ratio_count", ""] >= 2
    assert samples["lectern_embedder_padding_ratio_sum", ""] >= 0
