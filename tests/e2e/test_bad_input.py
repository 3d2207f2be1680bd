"""Whatever is sent, the reply is a 4xx that says what to do, and everybody else goes on."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import psutil
import pytest
from docx import Document
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from tests.e2e.conftest import Organisation, Stack, eventually
from tests.unit.ingestor.parsers.bombs import GIBIBYTE, pdf_of_pages, png_of, zip_of_zeros
from tests.unit.ingestor.parsers.files import pdf_bomb, zipped


def pdf(*, encrypted: bool = False) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=StandardEncryption("secret", canPrint=0) if encrypted else None)
    canvas.drawString(72, 720, "The harbour crane was repaired in spring.")
    canvas.save()
    return buffer.getvalue()


def zip_bomb_docx() -> bytes:
    whole = io.BytesIO()
    Document().save(whole)
    bomb = io.BytesIO()
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr("word/media/zeros.bin", b"\0" * (300 * 1024 * 1024))
    return bomb.getvalue()


FILES: list[tuple[str, str, Callable[[], bytes], str]] = [
    ("an empty file", "empty.txt", lambda: b"", "EMPTY_FILE"),
    ("a picture that calls itself a PDF", "scan.pdf", lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "EXTENSION_MISMATCH"),
    ("text that calls itself a DOCX", "letter.docx", lambda: b"just words, no archive", "EXTENSION_MISMATCH"),
    ("a corrupt PDF", "broken.pdf", lambda: b"%PDF-1.7\n" + b"garbage " * 40, "CORRUPT_DOCUMENT"),
    ("an encrypted PDF", "locked.pdf", lambda: pdf(encrypted=True), "ENCRYPTED_DOCUMENT"),
    ("invalid UTF-8", "latin.txt", lambda: "Café au lait".encode("latin-1"), "INVALID_ENCODING"),
    ("a zip bomb in a DOCX", "bomb.docx", zip_bomb_docx, "ARCHIVE_TOO_LARGE"),
    ("an archive of a gigabyte", "zeros.zip", lambda: zip_of_zeros(GIBIBYTE), "ARCHIVE_TOO_LARGE"),
    ("an archive that leads out of its folder", "slip.zip", lambda: zipped({"../../etc/passwd": b"x"}), "CORRUPT_DOCUMENT"),
    ("300,000 empty pages", "pages.pdf", lambda: pdf_of_pages(300_000), "DOCUMENT_TOO_LARGE"),
    ("a million columns", "wide.csv", lambda: b"a," * 1_000_000, "DOCUMENT_TOO_LARGE"),
    ("a picture of 50,000 x 50,000", "huge.png", lambda: png_of(50_000, 50_000), "DOCUMENT_TOO_LARGE"),
    ("NUL bytes in text", "nul.txt", lambda: b"before\0after " * 20, "BINARY_CONTENT"),
]


@pytest.fixture(scope="module")
def library(stack: Stack) -> Organisation:
    organisation = stack.new_organisation("bad input")
    organisation.create_collection("inbox")
    return organisation


def assert_problem(response: httpx.Response, reason: str, status: int | None = None) -> dict[str, object]:
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, object] = response.json()
    assert problem["reason"] == reason, problem
    assert problem["detail"]
    assert problem["request_id"]
    if status is not None:
        assert response.status_code == status
    return problem


@pytest.mark.parametrize(("name", "content", "reason"), [pytest.param(*case[1:], id=case[0]) for case in FILES])
def test_a_file_that_cannot_be_used_is_refused_with_its_reason(
    library: Organisation, name: str, content: Callable[[], bytes], reason: str
) -> None:
    assert_problem(library.upload("inbox", name, content()), reason)


def test_a_bomb_fails_in_time_and_memory_while_the_documents_of_others_are_taken_in(library: Organisation, stack: Stack) -> None:
    neighbour = stack.new_organisation("beside a bomb")
    neighbour.create_collection("inbox")
    ingestor = psutil.Process(stack.pid("ingestor"))
    peak = 0

    def ended(job: str) -> bool:
        nonlocal peak
        for process in (ingestor, *ingestor.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, process.memory_info().rss)
        return bool(library.client.get(f"/api/v1/jobs/{job}").json()["state"] == "FAILED")

    response = library.upload("inbox", "letters.pdf", pdf_bomb(20_000_000))
    assert response.status_code == 202, response.text
    job = response.json()["job"]["id"]
    beside = neighbour.upload("inbox", "fine.txt", b"The ferry leaves at noon.", wait="true")
    assert (beside.status_code, beside.json()["state"]) == (201, "READY")
    eventually(lambda: ended(job), seconds=30, what="the bomb failed")
    [failure] = library.client.get(f"/api/v1/jobs/{job}").json()["failures"]
    assert failure["reason"] in {"PARSER_OUT_OF_MEMORY", "PARSER_TIMEOUT"}
    assert 0 < peak < 1.5 * GIBIBYTE


@pytest.mark.parametrize("name", ["../../etc/passwd.txt", "\u202etxt.exe.txt", "x" * 300 + ".txt"])
def test_a_name_is_never_more_than_a_name(library: Organisation, name: str) -> None:
    response = library.upload("inbox", name, b"The ferry leaves at noon.", wait="true")
    assert response.status_code == 201, response.text
    assert response.json()["state"] == "READY"


def test_a_gigabyte_on_one_line_is_refused_before_it_is_all_sent(library: Organisation) -> None:
    def body() -> Iterator[bytes]:
        yield b'--line\r\nContent-Disposition: form-data; name="file"; filename="line.txt"\r\n\r\n'
        for _ in range(1024):
            yield bytes(1024 * 1024).replace(b"\0", b"x")

    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    try:
        response = library.client.post("/api/v1/collections/inbox/documents", content=body(), headers=headers)
    except httpx.WriteError:
        return  # the connection was closed on us, which says it too
    assert response.status_code in {400, 413}, response.text
    assert response.json()["reason"] in {"DOCUMENT_TOO_LARGE", "BODY_TOO_LARGE"}


def test_a_line_of_a_megabyte_is_taken_in_whole(library: Organisation) -> None:
    response = library.upload("inbox", "line.txt", b"harbour " * 131_072)
    assert response.status_code == 202, response.text
    ended = library.wait_for_job(response.json()["job"]["id"], seconds=360)
    assert (ended["state"], ended["failures"]) == ("SUCCEEDED", [])


def test_an_unknown_filter_field_names_the_nearest(library: Organisation) -> None:
    problem = assert_problem(library.search("crane", filter={"autor": "ann"}), "UNKNOWN_FILTER_FIELD", 400)
    assert "author" in str(problem["detail"])


def test_a_page_token_of_another_query_is_refused(library: Organisation) -> None:
    for number in range(3):
        library.create_collection(f"paging-{number}")
    token = library.client.get("/api/v1/collections", params={"page_size": 1}).json()["next_page_token"]
    assert token
    assert_problem(library.client.get("/api/v1/jobs", params={"page_size": 1, "page_token": token}), "PAGE_TOKEN_INVALID", 400)
    assert_problem(library.client.get("/api/v1/collections/inbox/documents", params={"page_token": token}), "PAGE_TOKEN_INVALID", 400)


def test_an_oversized_json_body_is_refused(library: Organisation) -> None:
    content = b'{"query": "' + b"x" * (40 * 1024 * 1024) + b'"}'
    response = library.client.post("/api/v1/search", content=content, headers={"Content-Type": "application/json"})
    assert_problem(response, "BODY_TOO_LARGE", 413)


@pytest.mark.parametrize("body", [b"{", b"", b"[1", b'{"query": }', b"\xff\xfe{", b'{"query": "a"} trailing'])
def test_malformed_json_is_refused(library: Organisation, body: bytes) -> None:
    response = library.client.post("/api/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["reason"] in {"INVALID_JSON", "INVALID_REQUEST", "INVALID_ENCODING"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{nonsense", "INVALID_LINE"),
        (b'{"text": ""}', "EMPTY_TEXT"),
        (b'{"name": "no text"}', "EMPTY_TEXT"),
        (b'{"text": "a", "txet": "b"}', "INVALID_LINE"),
        (b'{"text": "caf\xe9"}', "INVALID_ENCODING"),
    ],
)
def test_a_bad_line_of_a_batch_is_named_by_its_number_and_nothing_is_kept(library: Organisation, line: bytes, reason: str) -> None:
    before = library.client.get("/api/v1/collections/inbox").json()["document_count"]
    good = json.dumps({"id": "batch-good", "text": "A good line."}).encode()
    headers = {"Content-Type": "application/x-ndjson"}
    response = library.client.post(
        "/api/v1/collections/inbox/documents:batch", content=b"\n".join([good, good.replace(b"good", b"fine"), line]), headers=headers
    )
    problem = assert_problem(response, reason, 400)
    assert "3" in str(problem["detail"])
    assert library.client.get("/api/v1/collections/inbox").json()["document_count"] == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("PUT", "/api/v1/collections", 405),
        ("GET", "/api/v1/documents/not-an-id", 404),
        ("GET", "/api/v1/passages/%00", 400),
    ],
)
def test_even_wrong_addresses_answer_with_a_problem(library: Organisation, method: str, path: str, status: int) -> None:
    response = library.client.request(method, path)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code in {status, 404}
    assert response.json()["reason"]


def test_after_all_that_an_ordinary_pdf_is_taken_in_and_found(library: Organisation) -> None:
    response = library.upload("inbox", "fine.pdf", pdf(), wait="true")
    assert response.status_code == 201, response.text
    assert response.json()["state"] == "READY"
    hits = library.search("When was the crane repaired?").json()["hits"]
    assert (hits[0]["document_name"], hits[0]["page"]) == ("fine.pdf", 1)
