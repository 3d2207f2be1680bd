"""Content that never became searchable leaves nothing in the index, and what is searchable stays."""

from __future__ import annotations

import pytest

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.library import Library, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
FAILED = jobs_pb2.JOB_STATE_FAILED
GOOD, BAD = " ".join(f"good{number}" for number in range(50)), " ".join(f"bad{number}" for number in range(50))
MIXED = f"# One\n\n{GOOD}\n\n# Two\n\n{BAD}"


async def reject_bad(library: Library) -> None:
    """Let the model refuse the passages that are cut from ``BAD``; which texts those are, an upload tells."""
    probe = library.for_organisation(f"{library.organisation_id}-probe")
    await probe.create_collection()
    await probe.ended((await probe.upload(MIXED, name="probe.md")).job.job_id)
    library.index.reject = {text for text in probe.index.embedded if "bad1 " in text}
    assert library.index.reject


async def generations(library: Library, document_id: str) -> set[int]:
    return {row.passage.generation for row in library.index.of(document_id)}


async def test_content_that_could_not_be_embedded_whole_leaves_no_vectors(library: Library) -> None:
    await reject_bad(library)
    await library.create_collection()
    uploaded = await library.upload(MIXED, name="mixed.md")
    assert (await library.ended(uploaded.job.job_id)).state == FAILED
    assert library.index.embedded, "its good passages were written before it failed"

    async def gone() -> bool:
        return not library.index.rows

    await eventually(gone)
    assert (await library.get(uploaded.document.document_id)).reason == "VECTOR_NOT_FINITE"


async def test_what_was_searchable_before_stays_when_newer_content_fails(library: Library) -> None:
    await reject_bad(library)
    await library.create_collection()
    first = await library.upload(GOOD, name="mixed.md")
    await library.ended(first.job.job_id)
    second = await library.upload(MIXED, name="mixed.md")
    assert (await library.ended(second.job.job_id)).state == FAILED
    document_id = first.document.document_id

    async def only_the_first() -> bool:
        left = await library.query("SELECT count(*) AS n FROM library.passage WHERE document_id = $1 AND generation > 1", document_id)
        return await generations(library, document_id) == {1} and left[0]["n"] == 0

    await eventually(only_the_first)
    assert [passage.text for passage in await library.visible(document_id)] == [row.passage.text for row in library.index.of(document_id)]


async def test_a_retry_of_what_was_purged_makes_it_searchable(library: Library) -> None:
    await reject_bad(library)
    await library.create_collection()
    uploaded = await library.upload(MIXED, name="mixed.md")
    await library.ended(uploaded.job.job_id)

    async def gone() -> bool:
        return not library.index.rows

    await eventually(gone)
    library.index.reject.clear()
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=uploaded.job.job_id))
    assert (await library.ended(uploaded.job.job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED
    document = await library.get(uploaded.document.document_id)
    assert document.state == documents_pb2.DOCUMENT_STATE_READY
    assert len(library.index.of(document.document_id)) == document.passage_count


async def test_a_cancelled_job_leaves_nothing_of_what_it_had_written(library: Library) -> None:
    await library.create_collection()
    entries = [documents_pb2.BatchEntry(external_id=str(number), name="", text=f"Text {number}. {GOOD}") for number in range(300)]
    library.index.open.clear()
    batch = await library.batch(entries)
    await library.index.arrived.wait()
    await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=batch.job.job_id))
    library.index.open.set()

    async def quiet_and_only_what_is_visible() -> bool:
        unfinished = "SELECT count(*) AS n FROM library.task WHERE organisation_id = $1 AND state IN ('QUEUED', 'RUNNING')"
        if (await library.query(unfinished, library.organisation_id))[0]["n"]:
            return False
        report = await library.reconcile()
        return not report.unsettled_count and not any(each.found_count for each in report.drift)

    await eventually(quiet_and_only_what_is_visible)
