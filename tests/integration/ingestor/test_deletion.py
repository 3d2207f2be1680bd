"""What is deleted is invisible at once, leaves every store, and is proven to have left."""

from __future__ import annotations

from pathlib import Path

import pytest

from lectern.ingestor.v1 import collections_pb2, documents_pb2, jobs_pb2
from shared.errors import AppError, Status, unavailable
from tests.integration.ingestor.library import Library, error_of, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLES = ("document", "document_generation", "passage", "page", "stored_object")


async def take_in(library: Library, content: str = "The crane.", name: str = "crane.txt", external_id: str = "") -> documents_pb2.Document:
    uploaded = await library.upload(content, name=name, external_id=external_id)
    await library.ended(uploaded.job.job_id)
    return uploaded.document


async def rows(library: Library) -> dict[str, int]:
    """What the database holds of the organisation."""
    counts = {}
    for table in TABLES:
        [row] = await library.query(f"SELECT count(*) FROM library.{table} WHERE organisation_id = $1", library.organisation_id)  # noqa: S608
        counts[table] = row["count"]
    return counts


async def test_a_deleted_document_is_invisible_at_once_and_purged_with_a_receipt(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library)
    [row] = library.index.of(document.document_id)
    # The index does not answer, so that nothing can have been purged yet.
    library.index.failures["DeleteDocuments"] = [unavailable("embedder") for _ in range(3)]
    receipt = await library.delete(document.document_id)
    assert await library.read(row.passage.passage_id) == []
    assert (await error_of(library.get(document.document_id))).reason == "DOCUMENT_NOT_FOUND"
    assert (await library.get_collection()).document_count == 0
    assert not receipt.HasField("purge_verified_time")

    job = await library.ended(receipt.job_id)
    assert (job.kind, job.state) == (jobs_pb2.JOB_KIND_PURGE, jobs_pb2.JOB_STATE_SUCCEEDED)
    receipt = await library.receipt(document.document_id)
    assert (receipt.passage_count, receipt.vector_count, receipt.file_count) == (1, 1, 1)
    assert receipt.HasField("purge_verified_time")
    assert library.index.rows == {}
    assert set((await rows(library)).values()) == {0}


async def test_deleting_twice_gives_the_same_receipt(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library)
    first = await library.delete(document.document_id)
    await library.ended(first.job_id)
    assert await library.delete(document.document_id) == await library.receipt(document.document_id)


async def test_a_file_stays_while_another_document_has_the_same_bytes(library: Library) -> None:
    await library.create_collection()
    first, second = await take_in(library, name="first.txt"), await take_in(library, name="second.txt")
    receipt = await library.delete(first.document_id)
    await library.ended(receipt.job_id)
    assert (await library.receipt(first.document_id)).file_count == 0
    again = await library.upload("The crane.", name="second.txt", collection="library")
    assert again.unchanged
    receipt = await library.delete(second.document_id)
    await library.ended(receipt.job_id)
    assert (await library.receipt(second.document_id)).file_count == 1


async def test_a_delete_while_the_document_is_being_indexed_leaves_nothing(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    uploaded = await library.upload("The crane.", name="crane.txt")
    await library.index.arrived.wait()
    receipt = await library.delete(uploaded.document.document_id)
    library.index.open.set()
    assert (await library.ended(uploaded.job.job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED
    await library.ended(receipt.job_id)
    assert (await library.receipt(uploaded.document.document_id)).HasField("purge_verified_time")
    assert library.index.rows == {}
    assert set((await rows(library)).values()) == {0}


async def test_a_deleted_document_that_comes_again_is_another_one(library: Library) -> None:
    await library.create_collection()
    first = await take_in(library, external_id="a")
    await library.delete(first.document_id)
    second = await take_in(library, external_id="a")
    assert second.document_id != first.document_id
    assert [passage.text for passage in await library.visible(second.document_id)] == ["The crane."]


async def test_a_deleted_collection_is_gone_with_its_documents_and_its_name_is_free(library: Library) -> None:
    collection = await library.create_collection()
    documents = [await take_in(library, f"Crane {number}.", f"{number}.txt") for number in range(3)]
    ids = list(library.index.rows)
    request = collections_pb2.DeleteCollectionRequest(collection="library")
    deleted = await library.call(library.collections.DeleteCollection, request)
    assert deleted.document_count == 3
    assert await library.read(*ids) == []
    assert (await error_of(library.get_collection())).reason == "COLLECTION_NOT_FOUND"
    assert (await library.create_collection()).collection_id != collection.collection_id
    job = await library.ended(deleted.job_id)
    assert (job.total_count, job.state) == (3, jobs_pb2.JOB_STATE_SUCCEEDED)
    for document in documents:
        assert (await library.receipt(document.document_id)).HasField("purge_verified_time")
    assert library.index.rows == {}
    kept = await library.query("SELECT name FROM library.collection WHERE organisation_id = $1", library.organisation_id)
    assert [row["name"] for row in kept] == ["library"]


async def test_a_purge_cannot_be_cancelled(library: Library) -> None:
    await library.create_collection()
    receipt = await library.delete((await take_in(library)).document_id)
    error = await error_of(library.call(library.jobs.CancelJob, jobs_pb2.CancelJobRequest(job_id=receipt.job_id)))
    assert (error.reason, error.status) == ("JOB_NOT_CANCELLABLE", Status.FAILED_PRECONDITION)


async def test_a_purge_that_the_index_refuses_is_put_aside_and_can_be_retried(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library)
    library.index.failures["DeleteDocuments"] = [AppError("BROKEN", Status.INTERNAL, "no") for _ in range(3)]
    receipt = await library.delete(document.document_id)
    job = await library.ended(receipt.job_id)
    assert (job.state, job.failures[0].reason) == (jobs_pb2.JOB_STATE_FAILED, "QUARANTINED")
    assert not (await library.receipt(document.document_id)).HasField("purge_verified_time")
    await library.call(library.jobs.RetryJob, jobs_pb2.RetryJobRequest(job_id=receipt.job_id))
    assert (await library.ended(receipt.job_id)).state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert (await library.receipt(document.document_id)).vector_count == 1


async def test_files_of_replaced_contents_are_removed(own_library: Library, tmp_path: Path) -> None:
    await own_library.create_collection()
    for content in ("The old crane.", "The new crane."):
        await take_in(own_library, content)

    async def one_file() -> bool:
        return [file.read_text() for file in (tmp_path / "files").rglob("*") if file.is_file()] == ["The new crane."]

    await eventually(one_file)
