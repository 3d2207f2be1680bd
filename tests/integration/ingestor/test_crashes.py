"""The process dies in the middle of its work, and another takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ingestor.migrations import FOLDER, SCHEMA
from ingestor.settings import IngestorSettings
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import open_channel
from tests.conftest import free_port
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
ORGANISATION = "acme"


@asynccontextmanager
async def process(settings: IngestorSettings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """An ingestor in a process of its own, as an operator starts it."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LECTERN_INTERNAL_KEY": settings.internal_key.get_secret_value(),
        "LECTERN_INGESTOR_LISTEN": f"127.0.0.1:{port}",
        "LECTERN_INGESTOR_DATABASE_URL": settings.database_url.get_secret_value(),
        "LECTERN_INGESTOR_OBJECT_STORE_URL": settings.object_store_url,
        "LECTERN_INGESTOR_EMBEDDER_TARGET": settings.embedder_target,
        "LECTERN_INGESTOR_PARSER_PROCESSES": "1",
        "LECTERN_INGESTOR_QUEUE__LEASE_SECONDS": "1",
    }
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "ingestor", env=environment, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def kill(child: asyncio.subprocess.Process) -> None:
    child.send_signal(signal.SIGKILL)
    await child.wait()


@asynccontextmanager
async def client(settings: IngestorSettings, indexes: Indexes, port: int) -> AsyncIterator[Library]:
    database_url = settings.database_url.get_secret_value()
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    async with open_channel(f"127.0.0.1:{port}", signer) as channel:
        yield Library(ORGANISATION, channel, database_url, indexes)


async def there(library: Library) -> None:
    async def answers() -> bool:
        try:
            await library.get_collection("nowhere")
        except Exception as error:  # noqa: BLE001
            return getattr(error, "reason", "") == "COLLECTION_NOT_FOUND"
        return False

    await eventually(answers, seconds=40)


async def test_what_was_in_work_when_the_process_was_killed_is_finished_by_the_next(settings: IngestorSettings, indexes: Indexes) -> None:
    port = free_port()
    index = indexes[ORGANISATION]
    async with client(settings, indexes, port) as library:
        async with process(settings, port) as child:
            await there(library)
            await library.create_collection()
            index.open.clear()
            batch = await library.batch(documents_pb2.BatchEntry(external_id=str(number), text=f"Text {number}") for number in range(200))
            await index.arrived.wait()
            await kill(child)
        index.open.set()
        async with process(settings, port):
            await there(library)
            job = await library.ended(batch.job.job_id, seconds=60)
            assert (job.state, job.done_count, job.passage_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 200, 200)
            assert len(await library.read(*index.rows)) == len(index.rows) == 200


async def test_a_document_that_takes_its_worker_down_three_times_is_put_aside_and_others_go_on(
    settings: IngestorSettings, indexes: Indexes
) -> None:
    port = free_port()
    index = indexes[ORGANISATION]
    index.deadly.add("Poison")
    async with client(settings, indexes, port) as library:
        job_id = ""
        for _ in range(3):
            index.arrived.clear()
            async with process(settings, port) as child:
                await there(library)
                if not job_id:
                    await library.create_collection()
                    entries = [documents_pb2.BatchEntry(text=text) for text in ("Honey", "Poison", "Milk")]
                    job_id = (await library.batch(entries)).job.job_id
                await asyncio.wait_for(index.deadly_arrived.wait(), 60)
                index.deadly_arrived.clear()
                await kill(child)
        async with process(settings, port):
            await there(library)
            job = await library.ended(job_id, seconds=60)
    assert (job.state, job.done_count, job.failed_count) == (jobs_pb2.JOB_STATE_FAILED, 3, 1)
    assert job.failures[0].reason == "QUARANTINED"
    assert sorted(row.passage.text for row in index.rows.values()) == ["Honey", "Milk"]


async def test_a_process_that_is_asked_to_stop_gives_its_work_back_at_once(settings: IngestorSettings, indexes: Indexes) -> None:
    port = free_port()
    index = indexes[ORGANISATION]
    async with client(settings, indexes, port) as library, process(settings, port) as child:
        await there(library)
        await library.create_collection()
        index.open.clear()
        await library.batch([documents_pb2.BatchEntry(text="Honey")])
        await index.arrived.wait()
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 30) == 0
        [task] = await library.query("SELECT state, deliveries, lease_token FROM library.task")
        assert dict(task) == {"state": "QUEUED", "deliveries": 0, "lease_token": None}
