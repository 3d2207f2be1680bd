"""Jobs that ended long ago are forgotten; what is needed stays."""

from __future__ import annotations

import pytest

from ingestor.adapters.postgres.database import open_database
from ingestor.adapters.postgres.jobs import PRUNE_LOCK, PostgresJobs
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.library import Library, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY = 86_400.0
AGE = """
WITH aged AS (UPDATE library.job SET create_time = create_time - interval '31 days' WHERE organisation_id = $1)
UPDATE library.task SET end_time = end_time - interval '31 days' WHERE organisation_id = $1
"""


async def prune(library: Library) -> None:
    async with open_database(library.database_url, max_connections=2) as database:
        await PostgresJobs(database).prune(30 * DAY)


async def known(library: Library) -> set[str]:
    return {job.job_id for job in (await library.call(library.jobs.ListJobs, jobs_pb2.ListJobsRequest())).jobs}


async def test_jobs_that_ended_long_ago_are_forgotten_and_their_documents_stay(library: Library) -> None:
    await library.create_collection()
    old = (await library.batch([documents_pb2.BatchEntry(external_id=f"a-{n}", text=f"Text {n}") for n in range(3)])).job.job_id
    await library.ended(old)
    await library.query(AGE, library.organisation_id)
    young = await library.upload("Young.", name="young.txt")
    await library.ended(young.job.job_id)
    await prune(library)
    assert await known(library) == {young.job.job_id}
    assert (await error_of(library.job(old))).reason == "JOB_NOT_FOUND"
    assert await library.query("SELECT FROM library.task WHERE job_id = $1", old) == []
    assert (await library.get_collection()).passage_count == 4
    again = await library.batch([documents_pb2.BatchEntry(external_id="a-0", text="Text 0")])
    assert again.unchanged_count == 1


async def test_work_that_is_not_done_is_not_forgotten_however_old_it_is(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    waiting = (await library.upload("Waiting.", name="waiting.txt")).job.job_id
    await library.index.arrived.wait()
    await library.query(AGE, library.organisation_id)
    await prune(library)
    assert await known(library) == {waiting}
    library.index.open.set()
    await library.ended(waiting)


async def test_a_purge_that_was_put_aside_is_kept_until_it_is_done(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload("Gone soon.", name="gone.txt")
    await library.ended(uploaded.job.job_id)
    purge = (await library.delete(uploaded.document.document_id)).job_id
    await library.ended(purge)
    await library.query(AGE, library.organisation_id)
    await library.query("UPDATE library.task SET state = 'QUARANTINED' WHERE job_id = $1", purge)
    await prune(library)
    assert await known(library) == {purge}
    await library.query("UPDATE library.task SET state = 'SUCCEEDED' WHERE job_id = $1", purge)
    await prune(library)
    assert await known(library) == set()
    receipt = await library.receipt(uploaded.document.document_id)
    assert receipt.HasField("purge_verified_time")


async def test_one_ingestor_prunes_at_a_time(library: Library) -> None:
    await library.create_collection()
    job = (await library.upload("Old.", name="old.txt")).job.job_id
    await library.ended(job)
    await library.query(AGE, library.organisation_id)
    async with open_database(library.database_url, max_connections=1) as database, database.transaction() as connection:
        assert await connection.fetchval(PRUNE_LOCK)
        await prune(library)
        assert await known(library) == {job}
    await prune(library)
    assert await known(library) == set()
