"""A document's way from its bytes to what searches see."""

from __future__ import annotations

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from tests.integration.ingestor.library import Library


async def test_an_uploaded_document_becomes_searchable(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload("# Crane\n\nThe harbour crane was repaired in spring.", name="crane.md")
    assert uploaded.document.state == documents_pb2.DOCUMENT_STATE_PROCESSING
    job = await library.ended(uploaded.job.job_id)
    assert (job.state, job.total_count, job.embedded_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 1, 1), job
    document = await library.get(uploaded.document.document_id)
    assert (document.state, document.type, document.passage_count) == (documents_pb2.DOCUMENT_STATE_READY, "md", 1)
    [passage] = await library.visible(document.document_id)
    assert "repaired in spring" in passage.text


async def test_a_batch_becomes_searchable_as_one_job(library: Library) -> None:
    await library.create_collection()
    entries = [
        documents_pb2.BatchEntry(external_id=f"a-{number}", name=f"Abstract {number}", text=f"Finding number {number} about cranes.")
        for number in range(300)
    ]
    batch = await library.batch(entries)
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.total_count, job.done_count, job.embedded_count) == (jobs_pb2.JOB_STATE_SUCCEEDED, 300, 300, 300), job
    assert (await library.get_collection()).passage_count == 300
    again = await library.batch(entries)
    assert (again.unchanged_count, again.job.state, again.job.embedded_count) == (300, jobs_pb2.JOB_STATE_SUCCEEDED, 0)


async def test_a_deleted_document_is_invisible_at_once_and_purged_with_a_receipt(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload("The harbour crane.", name="crane.txt")
    await library.ended(uploaded.job.job_id)
    document_id = uploaded.document.document_id
    [row] = library.index.of(document_id)
    receipt = await library.delete(document_id)
    assert await library.read(row.passage.passage_id) == []
    await library.ended(receipt.job_id)
    receipt = await library.receipt(document_id)
    assert (receipt.passage_count, receipt.vector_count, receipt.file_count) == (1, 1, 1)
    assert receipt.HasField("purge_verified_time")
    assert library.index.of(document_id) == []
