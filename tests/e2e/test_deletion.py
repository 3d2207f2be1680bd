"""A deleted document is gone from every answer at once, and its receipt says what left each store."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Organisation, Stack, eventually

PARAGRAPHS = [f"Part {number} of the quokkabay manual. " + " ".join(f"word{number}x{word}" for word in range(120)) for number in range(5)]


def test_a_deleted_document_is_gone_from_every_answer_at_once_and_its_receipt_counts_what_left(
    stack: Stack, organisation: Organisation
) -> None:
    client = organisation.client
    organisation.create_collection("manuals")
    content = "\n\n".join(PARAGRAPHS).encode()
    document = organisation.upload("manuals", "manual.txt", content, wait="true").json()
    kept = organisation.upload("manuals", "kept.txt", b"The quokkabay appendix stays.", wait="true").json()
    assert document["passage_count"] > 1
    found = organisation.search("quokkabay", limit=50).json()["hits"]
    passages = [hit["passage_id"] for hit in found if hit["document_id"] == document["id"]]
    assert len(passages) == document["passage_count"]

    receipt = client.delete(f"/api/v1/documents/{document['id']}").json()
    assert {hit["document_id"] for hit in organisation.search("quokkabay", limit=50).json()["hits"]} == {kept["id"]}
    assert document["id"] not in json.dumps(client.post("/api/v1/ask", json={"question": "What is in the quokkabay manual?"}).json())
    for path in (f"documents/{document['id']}", f"documents/{document['id']}?expand=pages", *(f"passages/{each}" for each in passages)):
        assert client.get(f"/api/v1/{path}").status_code == 404, path
    assert [each["id"] for each in client.get("/api/v1/collections/manuals/documents").json()["items"]] == [kept["id"]]

    assert organisation.wait_for_job(receipt["job_id"], seconds=60)["state"] == "SUCCEEDED"
    verified: dict[str, Any] = {}

    def is_verified() -> bool:
        verified.update(client.get(f"/api/v1/documents/{document['id']}/deletion-receipt").json())
        return verified["purge_verified_time"] is not None

    eventually(is_verified, seconds=30, what="the purge was verified")
    counted = [verified[name] for name in ("passage_count", "vector_count", "file_count")]
    assert counted == [len(passages), len(passages), 1]
    assert verified["deleted_time"] <= verified["purge_verified_time"]
