"""DocumentService, through a real client and server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lectern.ingestor.v1 import documents_pb2
from shared.errors import Status
from tests.integration.ingestor.library import Library, error_of, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")
Entry = documents_pb2.BatchEntry


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"", "EMPTY_FILE"),
        ("scan.pdf", b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "EXTENSION_MISMATCH"),
        ("broken.pdf", b"%PDF-1.7\n" + b"garbage " * 40, "CORRUPT_DOCUMENT"),
        ("latin.txt", "Café au lait".encode("latin-1"), "INVALID_ENCODING"),
        ("nul.txt", b"before\0after " * 20, "BINARY_CONTENT"),
        ("large.txt", b"x" * (1024 * 1024 + 1), "DOCUMENT_TOO_LARGE"),
    ],
)
async def test_bytes_that_cannot_be_used_are_refused_at_once_and_leave_nothing(
    library: Library, name: str, content: bytes, reason: str
) -> None:
    await library.create_collection()
    error = await error_of(library.upload(content, name=name))
    assert (error.reason, error.status) == (reason, Status.INVALID_ARGUMENT)
    assert error.message
    assert (await library.get_collection()).document_count == 0


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"collection": "nowhere", "name": "a.txt"}, "COLLECTION_NOT_FOUND"),
        ({}, "NAME_REQUIRED"),
        ({"name": "x" * 501}, "NAME_TOO_LONG"),
        ({"name": "nul\0.txt"}, "NUL_CHARACTER"),
        ({"external_id": "x" * 501}, "EXTERNAL_ID_TOO_LONG"),
        ({"name": "a.txt", "uri": "https://example.org/" + "x" * 4000}, "URI_TOO_LONG"),
        ({"name": "a.txt", "metadata": {"key": "nul\0"}}, "NUL_CHARACTER"),
        ({"url": "ftp://example.org/file"}, "URL_INVALID"),
        ({"url": "http://[broken"}, "URL_INVALID"),
    ],
)
async def test_a_header_that_cannot_be_used_is_refused(library: Library, header: dict[str, Any], reason: str) -> None:
    await library.create_collection()
    assert (await error_of(library.upload("Text.", **header))).reason == reason
    assert (await library.get_collection()).document_count == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "\u202egnp.txt", "x" * 300 + ".txt", "a/b\\c:d.txt", "空.txt", "-rf"])
async def test_a_strange_name_is_kept_as_it_is(library: Library, name: str) -> None:
    await library.create_collection()
    uploaded = await library.upload("Some text.", name=name)
    await library.ended(uploaded.job.job_id)
    document = await library.get(uploaded.document.document_id)
    assert (document.name, document.state) == (name, documents_pb2.DOCUMENT_STATE_READY)


async def test_a_call_without_a_header_is_refused(library: Library) -> None:
    async def chunks() -> AsyncIterator[documents_pb2.UploadDocumentRequest]:
        yield documents_pb2.UploadDocumentRequest(chunk=b"text")

    async def nothing() -> AsyncIterator[documents_pb2.BatchCreateDocumentsRequest]:
        return
        yield

    assert (await error_of(library.call(library.documents.UploadDocument, chunks()))).reason == "HEADER_MISSING"
    assert (await error_of(library.call(library.documents.BatchCreateDocuments, nothing()))).reason == "HEADER_MISSING"


async def test_a_stream_without_its_last_message_is_refused_and_nothing_of_it_is_kept(library: Library) -> None:
    await library.create_collection()

    async def upload() -> AsyncIterator[documents_pb2.UploadDocumentRequest]:
        yield documents_pb2.UploadDocumentRequest(header=documents_pb2.DocumentHeader(collection="library", name="cut.txt"))
        yield documents_pb2.UploadDocumentRequest(chunk=b"the first half")

    async def batch() -> AsyncIterator[documents_pb2.BatchCreateDocumentsRequest]:
        yield documents_pb2.BatchCreateDocumentsRequest(header=documents_pb2.BatchHeader(collection="library"))
        yield documents_pb2.BatchCreateDocumentsRequest(entries=documents_pb2.BatchEntries(entries=[documents_pb2.BatchEntry(text="half")]))

    assert (await error_of(library.call(library.documents.UploadDocument, upload()))).reason == "STREAM_CUT"
    assert (await error_of(library.call(library.documents.BatchCreateDocuments, batch()))).reason == "STREAM_CUT"
    listed = await library.call(library.documents.ListDocuments, documents_pb2.ListDocumentsRequest(collection="library"))
    assert list(listed.documents) == []


async def test_the_external_id_identifies_a_document_before_its_name(library: Library) -> None:
    await library.create_collection()
    first = await library.upload("First.", external_id="a", name="one.txt")
    renamed = await library.upload("Second.", external_id="a", name="two.txt")
    unnamed = await library.upload("Third.", external_id="a")
    other = await library.upload("First.", external_id="b", name="one.txt")
    assert renamed.document.document_id == unnamed.document.document_id == first.document.document_id
    assert (renamed.document.name, unnamed.document.name) == ("two.txt", "two.txt")
    assert other.document.document_id != first.document.document_id


@pytest.mark.parametrize(
    ("entries", "reason", "named"),
    [
        ([], "BATCH_EMPTY", ""),
        ([Entry(text="a"), Entry(text="")], "EMPTY_TEXT", "Entry 2"),
        ([Entry(text="a"), Entry(text=" \n ")], "EMPTY_TEXT", "Entry 2"),
        ([Entry(text="nul\0")], "NUL_CHARACTER", "Entry 1"),
        ([Entry(text="a", name="x" * 501)], "NAME_TOO_LONG", "Entry 1"),
        ([Entry(text="a", external_id="x" * 501)], "EXTERNAL_ID_TOO_LONG", "Entry 1"),
        ([Entry(text="a", metadata=struct({"k": "x" * 40_000}))], "METADATA_TOO_LARGE", "Entry 1"),
        ([Entry(external_id="a", text="1"), Entry(text="2"), Entry(external_id="a", text="3")], "DUPLICATE_ID", "Entries 1 and 3"),
        ([Entry(name="a", text="1"), Entry(name="a", text="1")], "DUPLICATE_ID", "Entries 1 and 2"),
        ([Entry(text="a", metadata=struct({"k": "nul\0"}))], "NUL_CHARACTER", ""),
    ],
)
async def test_one_bad_entry_refuses_the_whole_batch(library: Library, entries: list[Entry], reason: str, named: str) -> None:
    await library.create_collection()
    error = await error_of(library.batch(entries, size=1))
    assert (error.reason, error.status) == (reason, Status.INVALID_ARGUMENT)
    assert named in error.message
    assert (await library.get_collection()).document_count == 0


async def test_a_batch_for_an_unknown_collection_is_refused(library: Library) -> None:
    assert (await error_of(library.batch([Entry(text="a")], collection="nowhere"))).reason == "COLLECTION_NOT_FOUND"


async def test_texts_without_id_and_name_are_documents_of_their_own(library: Library) -> None:
    await library.create_collection()
    await library.batch([Entry(text="a"), Entry(text="a")])
    assert (await library.get_collection()).document_count == 2


async def test_documents_are_listed_oldest_first_in_pages_and_by_state(library: Library) -> None:
    await library.create_collection()
    library.index.reject.add("Text 3")
    batch = await library.batch([Entry(external_id=str(number), text=f"Text {number}") for number in range(5)])
    await library.ended(batch.job.job_id)
    listed, token = [], ""
    while True:
        request = documents_pb2.ListDocumentsRequest(collection="library", page_size=2, page_token=token)
        page = await library.call(library.documents.ListDocuments, request)
        listed += [document.external_id for document in page.documents]
        token = page.next_page_token
        if not token:
            break
    assert listed == ["0", "1", "2", "3", "4"]
    request = documents_pb2.ListDocumentsRequest(collection="library", state=documents_pb2.DOCUMENT_STATE_FAILED)
    failed = await library.call(library.documents.ListDocuments, request)
    assert [document.external_id for document in failed.documents] == ["3"]


async def test_a_page_token_of_another_list_is_refused(library: Library) -> None:
    for name in ("library", "other"):
        await library.create_collection(name)
    await library.batch([Entry(text="a"), Entry(text="b")])
    list_documents = library.documents.ListDocuments
    page = await library.call(list_documents, documents_pb2.ListDocumentsRequest(collection="library", page_size=1))
    for request in (
        documents_pb2.ListDocumentsRequest(collection="other", page_token=page.next_page_token),
        documents_pb2.ListDocumentsRequest(collection="library", page_token=page.next_page_token, state=documents_pb2.DOCUMENT_STATE_READY),
    ):
        assert (await error_of(library.call(list_documents, request))).reason == "PAGE_TOKEN_INVALID"


async def test_metadata_comes_back_as_it_was_given(library: Library) -> None:
    await library.create_collection()
    metadata = {"text": "é", "number": 1.5, "whole": 2021, "yes": True, "nothing": None, "list": [1, "a", {"b": []}], "object": {"c": {}}}
    uploaded = await library.upload("Text.", name="a.txt", metadata=metadata)
    assert uploaded.document.metadata == struct(metadata)
    request = documents_pb2.UpdateDocumentRequest(document_id=uploaded.document.document_id, metadata=struct({}))
    assert dict((await library.call(library.documents.UpdateDocument, request)).document.metadata) == {}


@pytest.mark.parametrize("name", ["", "x" * 501, "nul\0"])
async def test_a_name_that_cannot_be_one_is_refused(library: Library, name: str) -> None:
    await library.create_collection()
    uploaded = await library.upload("Text.", name="a.txt")
    request = documents_pb2.UpdateDocumentRequest(document_id=uploaded.document.document_id, name=name)
    error = await error_of(library.call(library.documents.UpdateDocument, request))
    assert error.status is Status.INVALID_ARGUMENT
    assert (await library.get(uploaded.document.document_id)).name == "a.txt"


async def test_what_does_not_exist_or_is_anothers_is_not_found(library: Library) -> None:
    await library.create_collection()
    uploaded = await library.upload("Text.", name="a.txt")
    stranger = library.for_organisation(f"{library.organisation_id}-stranger")
    for side, document_id in ((library, "no-such-id"), (library, ""), (stranger, uploaded.document.document_id)):
        for call in (
            side.get(document_id),
            side.get(document_id, pages=True),
            side.delete(document_id),
            side.receipt(document_id),
            side.call(side.documents.UpdateDocument, documents_pb2.UpdateDocumentRequest(document_id=document_id, name="taken")),
        ):
            error = await error_of(call)
            assert (error.reason, error.status) == ("DOCUMENT_NOT_FOUND", Status.NOT_FOUND)
    assert (await library.get(uploaded.document.document_id)).name == "a.txt"


async def test_a_page_ends_before_its_message_grows_too_large(library: Library) -> None:
    await library.create_collection()
    metadata = struct({"key": "x" * 30_000})
    await library.batch([Entry(external_id=str(number), text="Text", metadata=metadata) for number in range(400)], size=100)
    listed, token, pages = [], "", 0
    while True:
        request = documents_pb2.ListDocumentsRequest(collection="library", page_size=1000, page_token=token)
        page = await library.call(library.documents.ListDocuments, request)
        listed += [document.external_id for document in page.documents]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert pages > 1
    assert listed == [str(number) for number in range(400)]
