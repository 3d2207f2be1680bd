"""A document's way from its bytes to what searches see."""

from __future__ import annotations

import io

import pytest
from reportlab.pdfgen.canvas import Canvas

from lectern.ingestor.v1 import documents_pb2, jobs_pb2, passages_pb2
from tests.integration.ingestor.library import Library, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")
READY = documents_pb2.DOCUMENT_STATE_READY
SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


def pdf(*pages: str) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for text in pages:
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


async def test_an_uploaded_document_becomes_searchable(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload("# Crane\n\nThe harbour crane was repaired in spring.", name="crane.md", metadata={"author": "Ann"})
    assert uploaded.document.state == documents_pb2.DOCUMENT_STATE_PROCESSING
    assert not uploaded.unchanged
    job = await library.ended(uploaded.job.job_id)
    assert (job.state, job.total_count, job.done_count, job.embedded_count) == (SUCCEEDED, 1, 1, 1), job
    document = await library.get(uploaded.document.document_id)
    assert (document.state, document.type, document.passage_count, document.visible_generation) == (READY, "md", 1, 1)
    [row] = library.index.of(document.document_id)
    assert (row.passage.attributes.author, row.passage.attributes.type) == ("Ann", "md")
    assert row.passage.context == "Crane"
    [passage] = await library.visible(document.document_id)
    assert "repaired in spring" in passage.text
    assert (passage.document_name, passage.collection_name, passage.anchor) == ("crane.md", "library", "crane")


async def test_a_pdf_keeps_its_pages(library: Library) -> None:
    await library.create_collection()
    content = pdf("The crane stands at quay one.", "The tide tables hang at quay two.")
    uploaded = await library.upload(content, name="quays.pdf", uri="https://example.org/quays.pdf")
    await library.ended(uploaded.job.job_id)
    document = await library.get(uploaded.document.document_id, pages=True)
    assert document.page_count == 2
    assert [(page.number, "quay two" in page.text) for page in document.pages] == [(1, False), (2, True)]
    passages = await library.visible(document.document_id)
    assert [passage.page for passage in passages] == [1, 2]
    assert passages[1].uri == "https://example.org/quays.pdf#page=2"


async def test_a_batch_becomes_searchable_as_one_job(library: Library) -> None:
    await library.create_collection()
    entries = [
        documents_pb2.BatchEntry(
            external_id=f"a-{number}", name=f"Abstract {number}", text=f"Finding number {number}.", metadata=struct({"year": number})
        )
        for number in range(300)
    ]
    batch = await library.batch(entries)
    job = await library.ended(batch.job.job_id)
    assert (job.state, job.total_count, job.done_count, job.embedded_count) == (SUCCEEDED, 300, 300, 300), job
    assert (await library.get_collection()).passage_count == 300
    rows = sorted(library.index.rows.values(), key=lambda row: int(row.passage.context.split()[1]))
    assert rows[7].passage.context == "Abstract 7"
    [passage] = await library.read(rows[7].passage.passage_id)
    assert (passage.text, passage.external_id, passage.metadata["year"]) == ("Finding number 7.", "a-7", 7)


async def test_texts_get_the_language_they_are_in_and_what_their_owner_says_wins(library: Library) -> None:
    await library.create_collection()
    english = "The contract ends on the third of March, unless both parties agree to prolong it."
    french = "Le contrat prend fin le trois mars, sauf si les deux parties conviennent de le prolonger."
    entries = [
        documents_pb2.BatchEntry(external_id="english", text=english),
        documents_pb2.BatchEntry(external_id="french", text=french),
        documents_pb2.BatchEntry(external_id="numbers", text="17 4 2024"),
        documents_pb2.BatchEntry(external_id="said", text=french, metadata=struct({"language": "oc"})),
    ]
    batch = await library.batch(entries)
    await library.ended(batch.job.job_id)
    passages = {passage.external_id: passage for passage in await library.read(*library.index.rows)}
    languages = {name: library.index.rows[passage.passage_id].passage.attributes.language for name, passage in passages.items()}
    assert languages == {"english": "en", "french": "fr", "numbers": "", "said": "oc"}
    assert (await library.get(passages["french"].document_id)).language == "fr"


async def test_a_long_document_is_cut_and_its_passages_are_read_in_order(library: Library) -> None:
    await library.create_collection()
    text = "\n\n".join(f"Paragraph {number} tells of crane number {number} and of nothing else at all." for number in range(100))
    uploaded = await library.upload(text, name="cranes.txt")
    await library.ended(uploaded.job.job_id)
    passages = await library.visible(uploaded.document.document_id)
    assert [passage.ordinal for passage in passages] == list(range(len(passages)))
    assert all(text[passage.start : passage.end] == passage.text for passage in passages)
    middle = passages[5].passage_id
    request = passages_pb2.GetPassageRequest(passage_id=middle, before_count=2, after_count=3)
    around = await library.call(library.passages.GetPassage, request)
    assert around.passage.passage_id == middle
    assert [passage.ordinal for passage in around.before] == [3, 4]
    assert [passage.ordinal for passage in around.after] == [6, 7, 8]


async def test_passages_come_back_in_the_order_asked_for_and_unknown_ones_are_left_out(library: Library) -> None:
    await library.create_collection()
    batch = await library.batch([documents_pb2.BatchEntry(external_id=str(number), text=f"Text {number}") for number in range(5)])
    await library.ended(batch.job.job_id)
    ids = sorted(library.index.rows, reverse=True)
    found = await library.read(ids[0], "unknown", *ids[1:])
    assert [passage.passage_id for passage in found] == ids


async def test_the_collection_decides_how_long_passages_are(library: Library) -> None:
    await library.create_collection("short", settings={"passage_tokens": 10})
    await library.create_collection("long")
    text = " ".join(f"Sentence number {number} ends here." for number in range(40))
    counts = {}
    for name in ("short", "long"):
        uploaded = await library.upload(text, name="text.txt", collection=name)
        await library.ended(uploaded.job.job_id)
        counts[name] = (await library.get(uploaded.document.document_id)).passage_count
    assert counts["short"] >= 3 * counts["long"]


async def test_a_file_whose_content_fails_ends_failed_with_its_reason(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload(pdf(""), name="scan.pdf")
    job = await library.ended(uploaded.job.job_id)
    assert job.state == jobs_pb2.JOB_STATE_FAILED
    [failure] = job.failures
    assert (failure.reason, failure.document_name, failure.document_id) == ("NO_TEXT", "scan.pdf", uploaded.document.document_id)
    document = await library.get(uploaded.document.document_id)
    assert (document.state, document.reason) == (documents_pb2.DOCUMENT_STATE_FAILED, "NO_TEXT")
    assert document.message
