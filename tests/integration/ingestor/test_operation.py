"""What operators see: health, metrics, and upkeep that nobody asks for."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from ingestor.adapters.postgres.database import open_database
from ingestor.adapters.postgres.health import DatabaseHealth
from ingestor.adapters.postgres.queue import PostgresQueue
from ingestor.migrations import FOLDER, SCHEMA
from ingestor.server import SERVICE_NAMES, serve
from ingestor.settings import IngestorSettings
from lectern.ingestor.v1 import documents_pb2
from shared.errors import AppError, Status
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import open_channel
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library, error_of, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Database:
    """The test's own database, which an administrator can close and open again."""

    def __init__(self, administrator_url: str, database_url: str) -> None:
        self._url = administrator_url
        self._name = database_url.partition("?")[0].rpartition("/")[2]

    async def close(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        await self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")  # noqa: S608

    async def open(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute(statement)
        await connection.close()


async def serving(library: Library) -> set[bool]:
    """Whether the services serve: one element once all agree."""
    health: Any = health_pb2_grpc.HealthStub(library.channel)
    with library.calling():
        answers = [await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10) for name in ("", *SERVICE_NAMES)]
    return {answer.status == health_pb2.HealthCheckResponse.SERVING for answer in answers}


async def test_health_follows_the_database_and_calls_say_what_is_missing(own_library: Library, postgres_url: str) -> None:
    async def well() -> bool:
        return await serving(own_library) == {True}

    async def ill() -> bool:
        return await serving(own_library) == {False}

    database = Database(postgres_url, own_library.database_url)
    await eventually(well)
    await database.close()
    await eventually(ill)
    error = await error_of(own_library.get_collection())
    assert (error.reason, error.status) == ("DATABASE_UNAVAILABLE", Status.UNAVAILABLE)
    await database.open()
    await eventually(well)
    await own_library.create_collection()
    uploaded = await own_library.upload("The crane.", name="crane.txt")
    await own_library.ended(uploaded.job.job_id)
    assert (await own_library.get(uploaded.document.document_id)).state == documents_pb2.DOCUMENT_STATE_READY


async def test_it_starts_before_its_database_and_serves_once_that_is_there(
    settings: IngestorSettings, indexes: Indexes, postgres_url: str
) -> None:
    database_url = settings.database_url.get_secret_value()
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    database = Database(postgres_url, database_url)
    await database.close()
    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    async with serve(settings) as running, open_channel(f"127.0.0.1:{running.port}", signer) as channel:
        library = Library("acme", channel, database_url, indexes)

        async def well() -> bool:
            return await serving(library) == {True}

        assert await serving(library) == {False}
        await database.open()
        await eventually(well)


async def test_the_queue_can_be_measured(own_library: Library) -> None:
    await own_library.create_collection()
    own_library.index.open.clear()
    await own_library.batch([documents_pb2.BatchEntry(text="Text")])
    await own_library.index.arrived.wait()
    async with open_database(own_library.database_url, max_connections=1) as database:
        await DatabaseHealth(database).measure()
    own_library.index.open.set()
    assert REGISTRY.get_sample_value("lectern_ingestor_tasks", {"stage": "INDEX", "state": "RUNNING"}) == 1
    assert REGISTRY.get_sample_value("lectern_ingestor_tasks", {"stage": "PARSE", "state": "QUEUED"}) == 0
    assert (REGISTRY.get_sample_value("lectern_ingestor_deliveries_total", {"stage": "PARSE"}) or 0) >= 1
    assert (REGISTRY.get_sample_value("lectern_ingestor_oldest_task_seconds") or 0) > 0


async def test_a_purge_of_replaced_content_that_was_put_aside_comes_back_and_goes_when_it_is_done(own_library: Library) -> None:
    library = own_library
    await library.create_collection()
    first = await library.upload("The old crane.", name="crane.txt")
    await library.ended(first.job.job_id)
    library.index.failures["DeleteDocuments"] = [AppError("BROKEN", Status.INTERNAL, "no") for _ in range(3)]
    second = await library.upload("The new crane.", name="crane.txt")
    await library.ended(second.job.job_id)

    async def put_aside() -> bool:
        return bool(await library.query("SELECT FROM library.task WHERE state = 'QUARANTINED'"))

    async def purged() -> bool:
        return len(library.index.rows) == 1

    async with open_database(library.database_url, max_connections=1) as database:
        queue = PostgresQueue(database, lease_seconds=2, max_deliveries=3)
        await eventually(put_aside)
        await queue.keep_up()
        assert await put_aside()
        await library.query("UPDATE library.task SET end_time = end_time - interval '2 hours'")
        await queue.keep_up()
        await eventually(purged)
        await library.query("UPDATE library.task SET end_time = end_time - interval '2 days'")
        await queue.keep_up()
    kept = await library.query("SELECT job_id FROM library.task")
    assert {row["job_id"] for row in kept} == {first.job.job_id, second.job.job_id}
