"""Jobs are watched, cancelled and retried."""

from __future__ import annotations

from typing import Any

import pytest

from ingestor.settings import IngestorSettings
from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library, error_of, open_library

pytestmark = pytest.mark.asyncio(loop_scope="session")


def entries(count: int) -> list[documents_pb2.BatchEntry]:
    return [documents_pb2.BatchEntry(external_id=f"a-{number}", text=f"Text {number}") for number in range(count)]


async def test_a_watcher_sees_the_job_run_and_end(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(5))
    states, counts = [], []
    with library.calling():
        async for response in library.jobs.WatchJob(jobs_pb2.WatchJobRequest(job_id=batch.job.job_id), timeout=20):
            states.append(response.job.state)
            counts.append(response.job.done_count)
            if response.job.stage == jobs_pb2.TASK_STAGE_INDEX:
                library.index.open.set()
    assert states[-1] == jobs_pb2.JOB_STATE_SUCCEEDED
    assert jobs_pb2.JOB_STATE_RUNNING in states
    assert counts == sorted(counts)
    assert counts[-1] == 5


async def test_a_job_that_ended_is_sent_once(library: Library) -> None:
    await library.create_collection()
    batch = await library.batch(entries(1))
    await library.ended(batch.job.job_id)
    with library.calling():
        responses = [response async for response in library.jobs.WatchJob(jobs_pb2.WatchJobRequest(job_id=batch.job.job_id), timeout=20)]
    assert [response.job.done_count for response in responses] == [1]


async def test_a_cancelled_job_stops_and_what_was_not_ready_is_not_searchable(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(5))
    await library.index.arrived.wait()
    response = await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=batch.job.job_id))
    assert (response.job.state, response.job.done_count) == (jobs_pb2.JOB_STATE_CANCELLED, 5)
    library.index.open.set()
    listed = await library.call(library.documents.ListDocuments, documents_pb2.ListDocumentsRequest(collection="library"))
    assert {document.state for document in listed.documents} == {documents_pb2.DOCUMENT_STATE_CANCELLED}
    assert {document.reason for document in listed.documents} == {"JOB_CANCELLED"}
    assert (await library.get_collection()).passage_count == 0


async def test_cancelling_a_job_that_ended_changes_nothing(library: Library) -> None:
    await library.create_collection()
    batch = await library.batch(entries(1))
    await library.ended(batch.job.job_id)
    response = await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=batch.job.job_id))
    assert response.job.state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_a_cancelled_job_is_done_when_it_is_retried(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(5))
    await library.index.arrived.wait()
    await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=batch.job.job_id))
    library.index.open.set()
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=batch.job.job_id))
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.total_count, job.passage_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 5, 5)
    assert (await library.get_collection()).passage_count == 5


async def test_retrying_a_failed_job_tries_only_what_failed(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 3")
    batch = await library.batch(entries(5))
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.failed_count, job.done_count) == (jobs_pb2.JOB_STATE_FAILED, 1, 5)
    assert [(failure.external_id, failure.reason) for failure in job.failures] == [("a-3", "VECTOR_NOT_FINITE")]
    library.index.reject.clear()
    before = len(library.index.embedded)
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=batch.job.job_id))
    job = await library.ended(batch.job.job_id)
    assert (job.state, list(job.failures)) == (jobs_pb2.JOB_STATE_SUCCEEDED, [])
    assert library.index.embedded[before:] == ["Text 3"]
    assert (await library.get_collection()).passage_count == 5


async def test_retrying_leaves_alone_what_newer_content_has_replaced(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 0")
    failed = await library.batch(entries(1))
    await library.ended(failed.job.job_id)
    newer = await library.batch([documents_pb2.BatchEntry(external_id="a-0", text="Newer text")])
    await library.ended(newer.job.job_id)
    library.index.reject.clear()
    response = await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=failed.job.job_id))
    assert response.job.state == jobs_pb2.JOB_STATE_FAILED
    [document] = (await library.call(library.documents.ListDocuments, documents_pb2.ListDocumentsRequest(collection="library"))).documents
    assert [passage.text for passage in await library.visible(document.document_id)] == ["Newer text"]


async def test_jobs_are_listed_newest_first_in_pages(library: Library) -> None:
    await library.create_collection()
    await library.create_collection("other")
    ids = [(await library.batch([documents_pb2.BatchEntry(external_id=str(n), text="Text")])).job.job_id for n in range(5)]
    elsewhere = await library.batch([documents_pb2.BatchEntry(text="Text")], collection="other")
    listed, token = [], ""
    while True:
        request = jobs_pb2.ListJobsRequest(page_size=2, page_token=token, collection="library")
        page = await library.call(library.jobs.ListJobs, request)
        listed += [job.job_id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert listed == ids[::-1]
    everything = await library.call(library.jobs.ListJobs, jobs_pb2.ListJobsRequest())
    assert [job.job_id for job in everything.jobs] == [elsewhere.job.job_id, *listed]


async def test_nobody_sees_or_steers_anothers_job(library: Library) -> None:
    await library.create_collection()
    batch = await library.batch(entries(1))
    stranger = library.for_organisation(f"{library.organisation_id}-stranger")
    job_id = batch.job.job_id
    assert (await error_of(stranger.job(job_id))).reason == "JOB_NOT_FOUND"
    for method, request in (
        (stranger.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=job_id)),
        (stranger.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=job_id)),
    ):
        assert (await error_of(stranger.call(method, request))).reason == "JOB_NOT_FOUND"
    assert list((await stranger.call(stranger.jobs.ListJobs, jobs_pb2.ListJobsRequest())).jobs) == []
    assert (await library.ended(job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_work_that_was_cancelled_stops_long_before_its_lease_ends(settings: IngestorSettings, indexes: Indexes) -> None:
    """A purge waits until no worker can still be writing: that it ends shows that the worker has stopped."""
    patient = settings.model_copy(update={"queue": settings.queue.model_copy(update={"lease_seconds": 600.0})})
    async with open_library(patient, indexes) as library:
        await library.create_collection()
        library.index.open.clear()
        uploaded = await library.upload("Never to be written.", name="a.txt")
        await library.index.arrived.wait()
        await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=uploaded.job.job_id))
        receipt = await library.delete(uploaded.document.document_id)
        assert (await library.ended(receipt.job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED
        assert not library.index.open.is_set()


async def test_a_job_tells_what_each_step_did_and_cost(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 3")
    job = await library.ended((await library.batch(entries(5))).job.job_id)
    steps = {jobs_pb2.Step.Name(step.step): step for step in job.steps}
    assert list(steps) == ["STEP_PARSE", "STEP_CHUNK", "STEP_EMBED", "STEP_VERIFY", "STEP_PUBLISH"]
    assert {name: (step.done_count, step.failed_count) for name, step in steps.items()} == {
        "STEP_PARSE": (5, 0),
        "STEP_CHUNK": (5, 0),
        "STEP_EMBED": (4, 1),
        "STEP_VERIFY": (4, 0),
        "STEP_PUBLISH": (4, 0),
    }
    for step in job.steps:
        assert not step.waiting_count + step.running_count
        assert step.work.ToMicroseconds() > 0
        assert job.create_time.ToDatetime() <= step.end_time.ToDatetime()
        assert step.begin_time.ToDatetime() <= step.end_time.ToDatetime()


async def test_a_job_in_work_shows_where_its_documents_are(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    batch = await library.batch(entries(5))
    await library.index.arrived.wait()
    job = await library.job(batch.job.job_id)
    embedding = next(step for step in job.steps if step.step == jobs_pb2.STEP_EMBED)
    assert (embedding.waiting_count + embedding.running_count, embedding.done_count) == (5, 0)
    assert not job.HasField("eta")  # nothing is written yet, so no throughput is known
    library.index.open.set()
    await library.ended(batch.job.job_id)


async def job_documents(library: Library, job_id: str, **fields: Any) -> list[jobs_pb2.JobDocument]:
    found, token = [], ""
    while True:
        request = jobs_pb2.ListJobDocumentsRequest(job_id=job_id, page_size=2, page_token=token, **fields)
        response = await library.call(library.jobs.ListJobDocuments, request)
        assert len(response.documents) <= 2
        found += response.documents
        token = response.next_page_token
        if not token:
            return found


async def test_a_job_lists_what_became_of_each_document(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 3")
    job_id = (await library.batch(entries(5))).job.job_id
    await library.ended(job_id)
    found = await job_documents(library, job_id)
    assert [document.external_id for document in found] == [f"a-{number}" for number in range(5)]
    assert [document.embedded_count for document in found if document.state == jobs_pb2.TASK_STATE_SUCCEEDED] == [1, 1, 1, 1]
    (failed,) = await job_documents(library, job_id, state=jobs_pb2.TASK_STATE_FAILED)
    assert (failed.external_id, failed.stage) == ("a-3", jobs_pb2.TASK_STAGE_INDEX)
    assert failed.reason
    assert failed.message
    stranger = library.for_organisation("somebody-else")
    assert (await error_of(job_documents(stranger, job_id))).reason == "JOB_NOT_FOUND"


async def test_jobs_are_listed_by_what_they_do_and_how_far_they_are(library: Library) -> None:
    await library.create_collection()
    succeeded = (await library.batch(entries(1))).job.job_id
    await library.ended(succeeded)
    library.index.reject.add("Bad")
    failed = (await library.batch([documents_pb2.BatchEntry(text="Bad", external_id="bad")])).job.job_id
    await library.ended(failed)
    deleted = (await library.upload("To be deleted.", name="gone.txt")).document.document_id
    uploaded = (await library.call(library.jobs.ListJobs, jobs_pb2.ListJobsRequest())).jobs[0].job_id
    await library.ended(uploaded)
    purged = (await library.delete(deleted)).job_id
    await library.ended(purged)
    library.index.arrived.clear()
    library.index.open.clear()
    new = [documents_pb2.BatchEntry(external_id=f"c-{number}", text=f"New {number}") for number in range(3)]
    running = (await library.batch(new)).job.job_id
    other = [documents_pb2.BatchEntry(external_id=f"b-{number}", text=f"Other {number}") for number in range(3)]
    cancelled = (await library.batch(other)).job.job_id
    await library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=cancelled))
    await library.index.arrived.wait()

    async def listed(**fields: Any) -> list[str]:
        response = await library.call(library.jobs.ListJobs, jobs_pb2.ListJobsRequest(**fields))
        return [job.job_id for job in response.jobs]

    assert await listed(kind=jobs_pb2.JOB_KIND_PURGE) == [purged]
    assert await listed(state=jobs_pb2.JOB_STATE_FAILED) == [failed]
    assert await listed(state=jobs_pb2.JOB_STATE_CANCELLED) == [cancelled]
    assert await listed(state=jobs_pb2.JOB_STATE_RUNNING) == [running]
    assert await listed(state=jobs_pb2.JOB_STATE_SUCCEEDED) == [purged, uploaded, succeeded]
    assert await listed(state=jobs_pb2.JOB_STATE_SUCCEEDED, kind=jobs_pb2.JOB_KIND_INGEST) == [uploaded, succeeded]
    for job in (await library.call(library.jobs.ListJobs, jobs_pb2.ListJobsRequest())).jobs:
        assert job.job_id in await listed(state=job.state), "the filter and the job's own state agree"
    library.index.open.set()
    await library.ended(running)
