from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.server import serve
from gateway.settings import GatewaySettings
from lectern.ingestor.v1 import jobs_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World, job
from tests.contract.gateway.conftest import OPERATOR_KEY

DOCUMENTS = "/api/v1/collections/col_0/documents"


async def test_a_file_arrives_byte_for_byte_with_its_name(client: httpx.AsyncClient, world: World) -> None:
    content = bytes(range(256)) * 12_000
    response = await client.post(DOCUMENTS, files={"file": ("report.pdf", content, "application/pdf")})
    assert response.status_code == 202
    body = response.json()
    assert (body["name"], body["state"], body["size_bytes"]) == ("report.pdf", "PROCESSING", len(content))
    assert (body["job"]["id"], body["job"]["state"], body["unchanged"]) == ("job_1", "QUEUED", False)
    assert world.contents[body["id"]] == content
    header = world.requests["UploadDocument"][0]
    assert (header.collection, header.declared_media_type, header.HasField("metadata")) == ("col_0", "application/pdf", False)


@pytest.mark.parametrize("fields_first", [True, False])
async def test_form_fields_count_on_either_side_of_the_file(client: httpx.AsyncClient, world: World, fields_first: bool) -> None:
    fields: list[Any] = [("name", (None, "Bericht é")), ("external_id", (None, "r-1")), ("metadata", (None, '{"team": "a"}'))]
    file: list[Any] = [("file", ("x.txt", b"hello", "text/plain"))]
    response = await client.post(DOCUMENTS, files=fields + file if fields_first else file + fields)
    body = response.json()
    assert (body["name"], body["external_id"], body["metadata"]) == ("Bericht é", "r-1", {"team": "a"})


async def test_text_base64_and_url_are_taken_in_too(client: httpx.AsyncClient, world: World) -> None:
    text = (await client.post(DOCUMENTS, json={"text": "Grüße", "metadata": {}})).json()
    assert world.contents[text["id"]] == "Grüße".encode()
    assert text["name"].startswith("text-")
    assert world.requests["UploadDocument"][-1].HasField("metadata")
    data = base64.b64encode(b"\x00\x01").decode()
    binary = (await client.post(DOCUMENTS, json={"base64": data, "name": "b.bin", "external_id": "b"})).json()
    assert world.contents[binary["id"]] == b"\x00\x01"
    await client.post(DOCUMENTS, json={"url": "https://example.org/a.pdf"})
    assert world.requests["UploadDocument"][-1].url == "https://example.org/a.pdf"


async def test_the_same_text_without_a_name_is_known_again(client: httpx.AsyncClient) -> None:
    names = [(await client.post(DOCUMENTS, json={"text": text})).json()["name"] for text in ("one", "two", "one")]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "exactly one"),
        ({"text": "a", "url": "https://a.b"}, "exactly one"),
        ({"text": ""}, "at least 1"),
        ({"url": "ftp://a.b/c"}, "http"),
        ({"url": "https:///c"}, "host"),
        ({"text": "a", "nam": "b"}, "'name'"),
        ({"text": "a", "metadata": []}, "dictionary"),
        ({"text": "a", "metadata": {str(number): 1 for number in range(201)}}, "200 keys"),
    ],
)
async def test_a_document_that_says_too_little_or_too_much_is_refused(
    client: httpx.AsyncClient, body: dict[str, object], words: str
) -> None:
    problem = (await client.post(DOCUMENTS, json=body)).json()
    assert (problem["status"], problem["reason"]) == (400, "INVALID_REQUEST")
    assert words in problem["detail"]


async def test_base64_that_is_none_is_named(client: httpx.AsyncClient) -> None:
    problem = (await client.post(DOCUMENTS, json={"base64": "a b c"})).json()
    assert (problem["reason"], problem["errors"][0]["field"]) == ("INVALID_BASE64", "body.base64")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("name", (None, "x"))], "MULTIPART_INVALID"),
        ([("file", (None, "text, not a file"))], "MULTIPART_INVALID"),
        ([("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))], "MULTIPART_INVALID"),
        ([("file", ("a.txt", b"a")), ("name", (None, "a")), ("name", (None, "b"))], "MULTIPART_INVALID"),
        ([("file", ("a.txt", b"a")), ("metadata", (None, "{"))], "INVALID_JSON"),
        ([("file", ("a.txt", b"a")), ("metadata", (None, "7"))], "INVALID_REQUEST"),
        ([("file", ("a.txt", b"a")), ("titel", (None, "b"))], "INVALID_REQUEST"),
        ([("file", ("a.txt", b"a")), ("name", (None, "a\0b"))], "NUL_CHARACTER"),
    ],
)
async def test_a_form_that_cannot_be_taken_in_is_refused_before_the_ingestor_hears_of_it(
    client: httpx.AsyncClient, world: World, files: list[Any], reason: str
) -> None:
    response = await client.post(DOCUMENTS, files=files)
    assert (response.status_code, response.json()["reason"]) == (400, reason)
    assert world.requests["UploadDocument"] == []


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"nothing of the kind"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    ],
)
async def test_a_broken_form_is_a_problem_and_not_a_crash(client: httpx.AsyncClient, headers: dict[str, str], content: bytes) -> None:
    response = await client.post(DOCUMENTS, headers=headers, content=content)
    assert (response.status_code, response.json()["reason"]) == (400, "MULTIPART_INVALID")


async def test_waiting_answers_when_the_document_is_ready(client: httpx.AsyncClient, world: World) -> None:
    world.job_states = [job("job_1", jobs_pb2.JOB_STATE_RUNNING), job("job_1", jobs_pb2.JOB_STATE_SUCCEEDED, done=1)]
    response = await client.post(f"{DOCUMENTS}?wait=true", json={"text": "a"})
    assert response.status_code == 201
    assert (response.json()["state"], response.json()["job"]["state"]) == ("READY", "SUCCEEDED")


async def test_waiting_in_vain_is_a_202_all_the_same(world: World, settings: GatewaySettings) -> None:
    world.job_states = [job("job_1", jobs_pb2.JOB_STATE_RUNNING)]
    world.hold["WatchJob"] = asyncio.Event()
    impatient = settings.model_copy(update={"timeouts": settings.timeouts.model_copy(update={"wait_seconds": 0.2})})
    headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
    async with serve(impatient) as gateway, httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
        response = await client.post(f"{DOCUMENTS}?wait=true", json={"text": "a"})
    assert (response.status_code, response.json()["state"]) == (202, "PROCESSING")
    await asyncio.wait_for(world.cancelled.wait(), 10)


async def test_a_document_stays_accepted_when_its_job_can_no_longer_be_watched(client: httpx.AsyncClient, world: World) -> None:
    world.failures["WatchJob"] = AppError("LIBRARY_UNAVAILABLE", Status.UNAVAILABLE, "No database.", retry_after_seconds=1)
    assert (await client.post(f"{DOCUMENTS}?wait=true", json={"text": "a"})).status_code == 202


async def test_what_the_ingestor_refuses_is_told_in_its_words(client: httpx.AsyncClient, world: World) -> None:
    world.failures["UploadDocument"] = AppError("PDF_ENCRYPTED", Status.INVALID_ARGUMENT, "The PDF has a password. Remove it.")
    problem = (await client.post(DOCUMENTS, files={"file": ("a.pdf", b"x" * 3_000_000)})).json()
    assert (problem["status"], problem["reason"], problem["detail"]) == (400, "PDF_ENCRYPTED", "The PDF has a password. Remove it.")


async def test_a_document_is_read_changed_listed_and_deleted(client: httpx.AsyncClient, world: World) -> None:
    made = (await client.post(DOCUMENTS, json={"text": "a", "name": "a.txt", "metadata": {"k": 1}})).json()
    path = f"/api/v1/documents/{made['id']}"
    assert (await client.get(path)).json()["pages"] is None
    assert (await client.get(f"{path}?expand=pages")).json()["pages"] == [{"number": 1, "text": "The first page."}]
    assert (await client.patch(path, json={"name": "b.txt"})).json()["metadata"] == {"k": 1}
    assert not world.requests["UpdateDocument"][-1].HasField("metadata")
    assert (await client.patch(path, json={"metadata": {}})).json()["metadata"] == {}
    assert [item["id"] for item in (await client.get(f"{DOCUMENTS}?state=READY")).json()["items"]] == [made["id"]]
    receipt = (await client.delete(path)).json()
    assert (receipt["document_id"], receipt["passage_count"], receipt["purge_verified_time"]) == (made["id"], 4, None)
    assert (await client.get(f"{path}/deletion-receipt")).json()["purge_verified_time"].endswith("Z")


async def test_null_in_a_change_is_refused_because_it_could_mean_two_things(client: httpx.AsyncClient, world: World) -> None:
    problem = (await client.patch("/api/v1/documents/d", json={"metadata": None})).json()
    assert problem["reason"] == "INVALID_REQUEST"
    assert "Leave it out" in problem["detail"]
    assert world.requests["UpdateDocument"] == []


async def lines(*entries: object) -> AsyncIterator[bytes]:
    for entry in entries:
        yield json.dumps(entry).encode() + b"\n"


NDJSON = {"Content-Type": "application/x-ndjson"}


async def test_a_batch_is_forwarded_in_messages_far_below_the_limit(client: httpx.AsyncClient, world: World) -> None:
    entries = [{"id": f"e{number}", "text": f"{number} " + "x" * 90_000, "metadata": {"n": number}} for number in range(60)]
    response = await client.post(f"{DOCUMENTS}:batch", content=lines(*entries), headers=NDJSON)
    assert response.status_code == 202
    assert (response.json()["job"]["total"], response.json()["unchanged"]) == (60, 1)
    assert [entry.external_id for entry in world.requests["entries"]] == [f"e{number}" for number in range(60)]
    assert len(world.batch_messages) >= 5
    assert max(world.batch_messages) < 2 * 1024 * 1024


async def test_a_bad_line_is_named_and_nothing_of_the_batch_is_taken_in(client: httpx.AsyncClient, world: World) -> None:
    good = {"text": "x" * 50_000}
    response = await client.post(f"{DOCUMENTS}:batch", content=lines(*[good] * 40, {"text": ""}, good), headers=NDJSON)
    problem = response.json()
    assert (response.status_code, problem["reason"], problem["metadata"]) == (400, "EMPTY_TEXT", {"line": "41"})
    await asyncio.wait_for(world.cut.wait(), 10)
    assert world.requests["entries"] == []


async def test_a_line_beyond_the_limit_is_refused_before_it_ends(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{DOCUMENTS}:batch", content=lines({"text": "x" * 1_000_000}), headers=NDJSON)
    assert (response.status_code, response.json()["reason"]) == (400, "LINE_TOO_LONG")


async def test_a_batch_of_another_type_is_told_which_one_to_send(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{DOCUMENTS}:batch", json=[{"text": "a"}])
    assert (response.status_code, response.json()["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert "application/x-ndjson" in response.json()["detail"]


async def test_an_error_of_the_ingestor_ends_a_batch_that_is_still_being_sent(client: httpx.AsyncClient, world: World) -> None:
    world.failures["BatchCreateDocuments"] = AppError("COLLECTION_NOT_FOUND", Status.NOT_FOUND, "There is no collection 'col_0'.")
    entries = [{"text": "x" * 50_000}] * 100
    response = await client.post(f"{DOCUMENTS}:batch", content=lines(*entries), headers=NDJSON)
    assert (response.status_code, response.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")


async def test_a_client_that_leaves_in_the_middle_of_a_batch_leaves_nothing_behind(
    client: httpx.AsyncClient, world: World, settings: GatewaySettings
) -> None:
    sent = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield json.dumps({"text": "x" * 50_000}).encode() + b"\n"
        sent.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(client.post(f"{DOCUMENTS}:batch", content=half(), headers=NDJSON))
    await asyncio.wait_for(sent.wait(), 10)
    sending.cancel()
    await asyncio.wait_for(world.cut.wait(), 10)
    assert world.requests["entries"] == []
