"""Other parts fail, and no document is the worse for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.errors import AppError, Status, too_busy, unavailable
from tests.integration.ingestor.library import Library, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


def entries(count: int) -> list[documents_pb2.BatchEntry]:
    return [documents_pb2.BatchEntry(external_id=f"a-{number}", text=f"Text {number}") for number in range(count)]


async def deliveries(library: Library) -> int:
    [row] = await library.query("SELECT max(deliveries) FROM library.task WHERE organisation_id = $1", library.organisation_id)
    return int(row["max"])


@pytest.mark.parametrize("method", ["ListModels", "TokenizeTexts", "IndexPassages", "FindMissingPassages"])
async def test_an_embedder_that_is_away_or_busy_is_waited_for(library: Library, method: str) -> None:
    await library.create_collection()
    # The channel tries an unavailable peer again by itself, so more of these than it has patience for.
    library.index.failures[method] = [
        *(unavailable("embedder", retry_after_seconds=0.01) for _ in range(6)),
        too_busy("embedder", retry_after_seconds=0.01),
        AppError("EMBEDDER_TIMEOUT", Status.DEADLINE_EXCEEDED, "slow"),
    ]
    batch = await library.batch(entries(5))
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.embedded_count) == (SUCCEEDED, 5)
    assert library.index.failures[method] == []
    assert await deliveries(library) == 1


async def test_a_stream_that_breaks_goes_on_after_what_was_acknowledged(library: Library) -> None:
    await library.create_collection()
    count = 400  # more than one request of the stream
    library.index.failures["IndexPassages"] = [None, unavailable("embedder", retry_after_seconds=0.01)]
    batch = await library.batch(entries(count))
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.embedded_count) == (SUCCEEDED, count)
    assert sorted(library.index.embedded) == sorted(f"Text {number}" for number in range(count))


async def test_rows_that_the_index_lost_are_found_missing_and_written_again(library: Library) -> None:
    await library.create_collection()
    library.index.lose = 3
    batch = await library.batch(entries(10))
    job = await library.ended(batch.job.job_id)
    assert job.state == SUCCEEDED
    assert len(library.index.rows) == 10
    assert len(await library.read(*library.index.rows)) == 10


async def test_a_document_whose_rows_are_lost_again_and_again_is_never_shown_half(library: Library) -> None:
    await library.create_collection()
    library.index.lose = 10_000
    batch = await library.batch(entries(1))
    job = await library.ended(batch.job.job_id, seconds=60)
    assert (job.state, job.failures[0].reason) == (jobs_pb2.JOB_STATE_FAILED, "QUARANTINED")
    assert "VECTORS_LOST" in job.failures[0].message
    assert (await library.get_collection()).passage_count == 0


async def test_a_text_that_the_model_cannot_embed_fails_alone(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 2")
    batch = await library.batch(entries(5))
    job = await library.ended(batch.job.job_id)
    assert [(failure.external_id, failure.reason) for failure in job.failures] == [("a-2", "VECTOR_NOT_FINITE")]
    assert (await library.get_collection()).passage_count == 4


async def test_work_that_fails_for_no_known_reason_is_put_aside_after_three_deliveries(library: Library) -> None:
    await library.create_collection()
    library.index.failures["IndexPassages"] = [AppError("INTERNAL", Status.INTERNAL, "broken") for _ in range(3)]
    batch = await library.batch(entries(1))
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.failures[0].reason) == (jobs_pb2.JOB_STATE_FAILED, "QUARANTINED")
    [document] = (await library.call(library.documents.ListDocuments, documents_pb2.ListDocumentsRequest(collection="library"))).documents
    assert document.state == documents_pb2.DOCUMENT_STATE_QUARANTINED
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=batch.job.job_id))
    assert (await library.ended(batch.job.job_id)).state == SUCCEEDED


async def test_connections_that_the_database_cuts_while_work_is_going_on_are_made_again(own_library: Library) -> None:
    library = own_library
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(20))
    await library.index.arrived.wait()
    ours = "application_name = 'lectern-ingestor' AND datname = current_database()"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"  # noqa: S608
    assert len(await library.query(cut)) > 1
    library.index.open.set()
    for _ in range(5):
        await library.query(cut)
    job = await library.ended(batch.job.job_id, seconds=60)
    assert (job.state, job.embedded_count) == (SUCCEEDED, 20)
    after = await library.batch([documents_pb2.BatchEntry(external_id="after", text="After")])
    assert (await library.ended(after.job.job_id)).state == SUCCEEDED


@pytest.mark.parametrize(("damage", "reason"), [("flip", "CONTENT_CORRUPT"), ("remove", "CONTENT_LOST")])
async def test_bytes_that_the_object_store_does_not_give_back_as_they_were_are_not_indexed(
    own_library: Library, tmp_path: Path, damage: str, reason: str
) -> None:
    library = own_library
    await library.create_collection()
    library.index.reject.add("The crane.")
    uploaded = await library.upload("The crane.", name="crane.txt")
    await library.ended(uploaded.job.job_id)
    [file] = [file for file in (tmp_path / "files").rglob("*") if file.is_file()]
    file.write_text("The crone.") if damage == "flip" else file.unlink()
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=uploaded.job.job_id))
    job = await library.ended(uploaded.job.job_id)
    assert [failure.reason for failure in job.failures] == [reason]


async def test_a_worker_that_lost_its_lease_makes_nothing_visible(own_library: Library) -> None:
    library = own_library
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(1))
    await library.index.arrived.wait()
    # As if the process had slept past its lease and another worker had taken the task meanwhile.
    await library.query("UPDATE library.task SET lease_token = 'another', lease_until = now() + interval '1 hour'")
    library.index.open.set()

    async def let_go() -> bool:
        return bool(library.index.rows)

    await eventually(let_go)
    for _ in range(20):
        assert (await library.get_collection()).passage_count == 0
        await asyncio.sleep(0.02)
    [task] = await library.query("SELECT state, lease_token FROM library.task")
    assert (task["state"], task["lease_token"]) == ("RUNNING", "another")
    await library.query("UPDATE library.task SET lease_until = now()")
    assert (await library.ended(batch.job.job_id)).state == SUCCEEDED
    assert (await library.get_collection()).passage_count == 1
