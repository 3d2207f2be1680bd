"""One archive in, its documents out, each with a result of its own."""

from __future__ import annotations

import io
import zipfile

from tests.e2e.conftest import Organisation


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def test_an_archive_becomes_a_job_of_its_documents_and_one_bad_file_fails_alone(organisation: Organisation) -> None:
    organisation.create_collection("inbox")
    inner = archive({"x.txt": b"never read"})
    content = archive(
        {
            "reports/crane.md": b"# Crane\n\nThe harbour crane was repaired in spring.",
            "reports/ferry.txt": b"The ferry leaves at noon.",
            "broken.pdf": b"%PDF-1.7\n" + b"garbage " * 40,
            "inner.zip": inner,
            "__MACOSX/._crane.md": b"\0\1",
        }
    )
    response = organisation.upload("inbox", "post.zip", content)
    assert response.status_code == 202, response.text
    ended = organisation.wait_for_job(response.json()["job"]["id"], seconds=120)
    assert (ended["total"], ended["state"]) == (4, "FAILED")
    assert {failure["reason"] for failure in ended["failures"]} == {"CORRUPT_DOCUMENT", "UNSUPPORTED_TYPE"}
    hits = organisation.search("When was the crane repaired?").json()["hits"]
    assert (hits[0]["document_name"], hits[0]["external_id"]) == ("reports/crane.md", "post.zip/reports/crane.md")
    documents = organisation.client.get("/api/v1/collections/inbox/documents").json()["items"]
    assert {document["name"]: document["state"] for document in documents} == {
        "reports/crane.md": "READY",
        "reports/ferry.txt": "READY",
        "broken.pdf": "FAILED",
        "inner.zip": "FAILED",
    }


def test_the_same_archive_again_brings_the_same_documents(organisation: Organisation) -> None:
    organisation.create_collection("inbox")
    content = archive({"a.txt": b"The ferry leaves at noon.", "b.txt": b"The crane was repaired."})
    for _ in range(2):
        response = organisation.upload("inbox", "post.zip", content)
        assert response.status_code == 202, response.text
        assert organisation.wait_for_job(response.json()["job"]["id"], seconds=120)["state"] == "SUCCEEDED"
    assert organisation.client.get("/api/v1/collections/inbox").json()["document_count"] == 2
