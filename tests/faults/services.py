"""The services' processes, with settings under which faults are over in seconds."""

from __future__ import annotations

from pathlib import Path

from tests.faults.proxy import Proxy
from tests.faults.supervised import Supervised

LEASE_SECONDS = 2.0
MAX_DELIVERIES = 5
# Less than the time in which those who call a silent embedder give it up.
STALL_SECONDS = 8.0


def embedder_process(folder: Path, port: int, model: Path, key: str, *, milvus: Proxy) -> Supervised:
    """The embedder on ``port``, with the model in the folder ``model``."""
    settings = {
        "LECTERN_INTERNAL_KEY": key,
        "LECTERN_EMBEDDER_LISTEN": f"127.0.0.1:{port}",
        "LECTERN_EMBEDDER_MILVUS_URI": f"http://127.0.0.1:{milvus.port}",
        "LECTERN_EMBEDDER_MODEL": str(model),
        "LECTERN_EMBEDDER_ENGINE": "torch",
        "LECTERN_EMBEDDER_THREADS": "1",
    }
    return Supervised("embedder", ["tests.faults.process", "embedder", str(folder / "orders")], settings, folder)


def ingestor_process(name: str, folder: Path, port: int, key: str, *, postgres: Proxy, embedder: Proxy) -> Supervised:
    """An ingestor on ``port``, whose orders to fail and whose object store are in ``folder``."""
    settings = {
        "LECTERN_INTERNAL_KEY": key,
        "LECTERN_INGESTOR_LISTEN": f"127.0.0.1:{port}",
        "LECTERN_INGESTOR_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres",
        "LECTERN_INGESTOR_OBJECT_STORE_URL": (folder / "files").as_uri(),
        "LECTERN_INGESTOR_EMBEDDER_TARGET": f"127.0.0.1:{embedder.port}",
        "LECTERN_INGESTOR_PARSER_PROCESSES": "1",
        "LECTERN_INGESTOR_DRAIN_SECONDS": "1",
        "LECTERN_INGESTOR_QUEUE__LEASE_SECONDS": str(LEASE_SECONDS),
        "LECTERN_INGESTOR_QUEUE__MAX_DELIVERIES": str(MAX_DELIVERIES),
        "LECTERN_INGESTOR_QUEUE__STALL_SECONDS": str(STALL_SECONDS),
        "LECTERN_INGESTOR_QUEUE__POLL_SECONDS": "0.2",
        "LECTERN_INGESTOR_REPLACED_INDEX_SECONDS": "0",
        "LECTERN_INGESTOR_FETCHING__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    }
    return Supervised(name, ["tests.faults.process", "ingestor", str(folder / "orders")], settings, folder)
