"""The same document again: the same bytes, other bytes, other words about it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lectern.ingestor.v1 import documents_pb2, jobs_pb2
from shared.errors import AppError, Status
from tests.integration.ingestor.library import Library, eventually, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")
READY = documents_pb2.DOCUMENT_STATE_READY
SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


async def take_in(library: Library, content: str, metadata: dict[str, Any] | None = None) -> documents_pb2.Document:
    uploaded = await library.upload(content, name="crane.txt", metadata=metadata)
    await library.ended(uploaded.job.job_id)
    return await library.get(uploaded.document.document_id)


async def purged(library: Library, document_id: str, generation: int) -> None:
    """Return once the index holds nothing of the document but ``generation``."""

    async def only() -> bool:
        return {row.passage.generation for row in library.index.of(document_id)} == {generation}

    await eventually(only)


async def test_the_same_bytes_again_cost_nothing(library: Library) -> None:
    await library.create_collection()
    first = await take_in(library, "The crane.")
    before = list(library.index.embedded), library.index.requests
    again = await library.upload("The crane.", name="crane.txt")
    assert again.unchanged
    assert (again.job.state, again.job.total_count, again.job.embedded_count) == (SUCCEEDED, 1, 0)
    assert (again.document.document_id, again.document.visible_generation) == (first.document_id, 1)
    assert (list(library.index.embedded), library.index.requests) == before


async def test_a_batch_sent_again_costs_nothing(library: Library) -> None:
    await library.create_collection()
    entries = [documents_pb2.BatchEntry(external_id=str(number), name="Title", text=f"Text {number}") for number in range(20)]
    batch = await library.batch(entries)
    await library.ended(batch.job.job_id)
    entries[3].text = "Another text"
    again = await library.batch(entries)
    job = await library.ended(again.job.job_id)
    assert (again.unchanged_count, job.state, job.total_count, job.embedded_count) == (19, SUCCEEDED, 20, 1)
    assert (await library.get_collection()).document_count == 20


async def test_the_same_bytes_while_they_are_in_work_are_the_same_job(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    first = await library.upload("The crane.", name="crane.txt")
    again = await library.upload("The crane.", name="crane.txt")
    library.index.open.set()
    assert (again.job.job_id, again.unchanged) == (first.job.job_id, False)
    job = await library.ended(first.job.job_id)
    assert (job.state, job.total_count) == (SUCCEEDED, 1)
    assert library.index.embedded == ["The crane."]


async def test_a_batch_that_is_sent_twice_at_once_is_one_job(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    entries = [documents_pb2.BatchEntry(external_id=str(number), text=f"Text {number}") for number in range(20)]
    first, again = await library.batch(entries), await library.batch(entries)
    library.index.open.set()
    assert again.job.job_id == first.job.job_id
    job = await library.ended(first.job.job_id)
    assert (job.done_count, len(library.index.embedded)) == (20, 20)


async def test_new_content_embeds_only_what_changed_and_then_replaces_the_old(library: Library) -> None:
    await library.create_collection(settings={"passage_tokens": 12})
    paragraphs = [f"Paragraph number {number} is about crane {number} alone." for number in range(6)]
    document = await take_in(library, "\n\n".join(paragraphs))
    before = len(library.index.embedded)
    paragraphs[2] = "Paragraph number 2 is about the tide table alone."
    uploaded = await library.upload("\n\n".join(paragraphs), name="crane.txt")
    job = await library.ended(uploaded.job.job_id)
    assert library.index.embedded[before:] == [paragraphs[2]]
    assert (job.embedded_count, job.reused_count) == (1, 5)
    await purged(library, document.document_id, 2)
    assert [passage.text for passage in await library.visible(document.document_id)] == paragraphs
    for row in library.index.of(document.document_id):
        assert row.vector == f"{row.passage.context}|{row.passage.text}"


async def test_the_old_content_answers_until_the_new_is_ready(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library, "The old crane.")
    library.index.open.clear()
    library.index.arrived.clear()
    uploaded = await library.upload("The new crane.", name="crane.txt")
    await library.index.arrived.wait()
    assert [passage.text for passage in await library.visible(document.document_id)] == ["The old crane."]
    assert (await library.get(document.document_id)).state == documents_pb2.DOCUMENT_STATE_PROCESSING
    library.index.open.set()
    await library.ended(uploaded.job.job_id)
    assert [passage.text for passage in await library.visible(document.document_id)] == ["The new crane."]


async def test_new_content_that_fails_leaves_the_old_searchable(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library, "The old crane.")
    library.index.reject.add("The bad crane.")
    uploaded = await library.upload("The bad crane.", name="crane.txt")
    job = await library.ended(uploaded.job.job_id)
    assert (job.state, job.failures[0].reason) == (jobs_pb2.JOB_STATE_FAILED, "VECTOR_NOT_FINITE")
    assert [passage.text for passage in await library.visible(document.document_id)] == ["The old crane."]
    now = await library.get(document.document_id)
    assert (now.state, now.reason, now.passage_count) == (documents_pb2.DOCUMENT_STATE_FAILED, "VECTOR_NOT_FINITE", 1)


async def test_content_that_failed_is_tried_again_when_it_comes_again(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("The bad crane.")
    failed = await take_in(library, "The bad crane.")
    assert failed.state == documents_pb2.DOCUMENT_STATE_FAILED
    library.index.reject.clear()
    mended = await take_in(library, "The bad crane.")
    assert (mended.document_id, mended.state, mended.reason) == (failed.document_id, READY, "")


async def test_the_visible_bytes_again_undo_content_that_failed(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library, "The old crane.")
    library.index.reject.add("The bad crane.")
    await take_in(library, "The bad crane.")
    again = await library.upload("The old crane.", name="crane.txt")
    assert again.unchanged
    assert again.document.state == READY
    assert again.document.content_sha256 == document.content_sha256


async def test_of_two_contents_in_work_the_newer_wins(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    first = await library.upload("First words.", name="crane.txt")
    await library.index.arrived.wait()
    second = await library.upload("Second words.", name="crane.txt")
    library.index.open.set()
    jobs = [await library.ended(first.job.job_id), await library.ended(second.job.job_id)]
    assert [job.state for job in jobs] == [SUCCEEDED, SUCCEEDED]
    document_id = second.document.document_id
    assert [passage.text for passage in await library.visible(document_id)] == ["Second words."]
    await purged(library, document_id, 2)


async def test_metadata_that_comes_with_the_same_bytes_reaches_the_index_without_embedding(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library, "The crane.", metadata={"year": 2020})
    again = await library.upload("The crane.", name="crane.txt", metadata={"year": 2021})
    assert again.unchanged
    job = await library.ended(again.job.job_id)
    assert (job.state, job.embedded_count, job.reused_count) == (SUCCEEDED, 0, 1)
    await purged(library, document.document_id, 2)
    [row] = library.index.of(document.document_id)
    assert row.passage.attributes.metadata["year"] == 2021
    assert library.index.embedded == ["The crane."]


async def test_metadata_that_is_left_out_is_kept(library: Library) -> None:
    await library.create_collection()
    await take_in(library, "The crane.", metadata={"year": 2020})
    document = await take_in(library, "The other crane.")
    assert document.metadata["year"] == 2020


async def test_a_change_of_metadata_shows_at_once_and_then_in_the_index(library: Library) -> None:
    await library.create_collection()
    document = await take_in(library, "The crane.", metadata={"year": 2020})
    request = documents_pb2.UpdateDocumentRequest(document_id=document.document_id, name="lift.txt", metadata=struct({"outdated": True}))
    changed = (await library.call(library.documents.UpdateDocument, request)).document
    assert (changed.name, dict(changed.metadata), changed.state) == ("lift.txt", {"outdated": True}, READY)
    await purged(library, document.document_id, 2)
    [row] = library.index.of(document.document_id)
    assert row.passage.attributes.outdated
    [passage] = await library.visible(document.document_id)
    assert (passage.document_name, passage.text) == ("lift.txt", "The crane.")
    assert library.index.embedded == ["The crane."]


async def test_metadata_that_changes_while_content_is_being_indexed_is_not_lost(library: Library) -> None:
    await library.create_collection()
    library.index.open.clear()
    uploaded = await library.upload("The crane.", name="crane.txt", metadata={"year": 2020})
    await library.index.arrived.wait()
    document_id = uploaded.document.document_id
    request = documents_pb2.UpdateDocumentRequest(document_id=document_id, metadata=struct({"year": 2021}))
    await library.call(library.documents.UpdateDocument, request)
    library.index.open.set()
    await library.ended(uploaded.job.job_id)
    await purged(library, document_id, 2)
    [row] = library.index.of(document_id)
    assert row.passage.attributes.metadata["year"] == 2021


async def test_a_text_whose_title_changed_is_embedded_again(library: Library) -> None:
    await library.create_collection()
    for title in ("Cranes", "Lifts"):
        batch = await library.batch([documents_pb2.BatchEntry(external_id="a", name=title, text="It was repaired.")])
        await library.ended(batch.job.job_id)
    assert library.index.embedded == ["It was repaired."] * 2


async def test_two_organisations_keep_the_same_bytes_apart(library: Library) -> None:
    other = library.for_organisation(f"{library.organisation_id}-other")
    documents = []
    for side in (library, other):
        await side.create_collection()
        documents.append(await take_in(side, "The crane."))
    assert documents[0].document_id != documents[1].document_id
    [row] = library.index.of(documents[0].document_id)
    assert await other.read(row.passage.passage_id) == []
    receipt = await library.delete(documents[0].document_id)
    await library.ended(receipt.job_id)
    assert [passage.text for passage in await other.visible(documents[1].document_id)] == ["The crane."]
    again = await other.upload("The other crane.", name="crane.txt")
    assert (await other.ended(again.job.job_id)).state == SUCCEEDED


async def test_of_many_contents_that_come_at_once_one_wins_and_nothing_is_left_of_the_others(library: Library) -> None:
    await library.create_collection()
    uploads = await asyncio.gather(*(library.upload(f"Version {number}.", name="crane.txt") for number in range(10)))
    assert len({uploaded.document.document_id for uploaded in uploads}) == 1
    jobs = [await library.ended(uploaded.job.job_id) for uploaded in uploads]
    assert {job.state for job in jobs} == {SUCCEEDED}
    document = await library.get(uploads[0].document.document_id)
    assert document.state == READY
    await purged(library, document.document_id, document.visible_generation)
    [passage] = await library.visible(document.document_id)
    assert passage.text in {f"Version {number}." for number in range(10)}
    rows = await library.query("SELECT generation FROM library.document_generation WHERE document_id = $1", document.document_id)
    assert [row["generation"] for row in rows] == [document.visible_generation]


async def test_batches_that_share_documents_in_another_order_do_not_stop_each_other(library: Library) -> None:
    await library.create_collection()
    entries = [documents_pb2.BatchEntry(external_id=str(number), text=f"Text {number}") for number in range(200)]
    others = [documents_pb2.BatchEntry(external_id=str(number), text=f"Other text {number}") for number in reversed(range(200))]
    batches = await asyncio.gather(*(library.batch(batch) for batch in (entries, others, entries, others)))
    for batch in batches:
        await library.ended(batch.job.job_id)
    collection = await library.get_collection()
    assert (collection.document_count, collection.passage_count) == (200, 200)


async def test_metadata_that_changes_between_two_deliveries_reaches_every_passage(library: Library) -> None:
    await library.create_collection(settings={"passage_tokens": 5})
    text = "\n\n".join(f"Paragraph number {number} is about crane {number} alone." for number in range(200))
    # The first delivery ends after one request was written, and the second writes only what is missing.
    library.index.failures["IndexPassages"] = [None, AppError("INTERNAL", Status.INTERNAL, "broken")]
    uploaded = await library.upload(text, name="crane.txt", metadata={"year": 2020})
    document_id = uploaded.document.document_id

    async def interrupted() -> bool:
        return not library.index.failures["IndexPassages"]

    await eventually(interrupted)
    request = documents_pb2.UpdateDocumentRequest(document_id=document_id, metadata=struct({"year": 2021}))
    await library.call(library.documents.UpdateDocument, request)
    job = await library.ended(uploaded.job.job_id)
    assert job.state == SUCCEEDED

    async def refreshed() -> bool:
        return {row.passage.attributes.metadata["year"] for row in library.index.of(document_id)} == {2021}

    await eventually(refreshed)
    assert len(library.index.embedded) == len(set(library.index.embedded))
