"""The whole index is built anew beside the one that answers: nothing is lost, nothing comes back, and nobody notices."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from pymilvus import MilvusClient

from tests.conftest import folder_for_a_server
from tests.contract.embedder.tiny_models import bert
from tests.e2e.conftest import Organisation, Stack, eventually, running_stack
from tests.e2e.test_reconcile import Library, Milvus, Searcher, reconcile, reference_of, take_in, under_another_key

PASSAGES = 3_000
SHARE = 50


@pytest.fixture(scope="module")
def tiny_stack() -> Iterator[Stack]:
    with folder_for_a_server() as folder:
        settings = {
            "LECTERN_EMBEDDER_MODEL": str(bert(folder / "model")),
            "LECTERN_INGESTOR_RECONCILIATION__GRACE_SECONDS": "0",
            "LECTERN_INGESTOR_REPLACED_INDEX_SECONDS": "1",
            "LECTERN_INGESTOR_QUEUE__LEASE_SECONDS": "3",
        }
        yield from running_stack(folder / "home", **settings)


@pytest.fixture(scope="module")
def library(tiny_stack: Stack) -> Library:
    return take_in(tiny_stack, PASSAGES)


@pytest.fixture(scope="module")
def milvus(tiny_stack: Stack) -> Milvus:
    return Milvus(MilvusClient(f"http://127.0.0.1:{tiny_stack.environment['LECTERN_PORT_MILVUS']}", timeout=30))


def reindex(stack: Stack, *options: str) -> dict[str, Any]:
    """The rebuild, once it has ended."""
    return dict(json.loads(stack.lectern("reindex", "--json", *options, timeout=300).stdout))


def behind_alias(milvus: Milvus) -> str:
    return str(milvus.client.describe_alias(milvus.alias)["collection_name"])


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


class Churn(threading.Thread):
    """Takes documents in and deletes others, without pause, until told to stop."""

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(daemon=True)
        self._organisation = organisation
        self._told_to_stop = threading.Event()
        self.living: dict[str, str] = {}
        self.deleted: dict[str, str] = {}

    def run(self) -> None:
        number = 0
        while not self._told_to_stop.is_set():
            number += 1
            word = f"churned{number}"
            response = self._organisation.upload("tampered", f"{word}.txt", f"The word is {word}.".encode(), wait="true")
            assert response.status_code == 201, response.text
            self.living[word] = response.json()["id"]
            if number % 2 == 0:
                doomed = next(iter(self.living))
                self._organisation.client.delete(f"/api/v1/documents/{self.living[doomed]}").raise_for_status()
                self.deleted[doomed] = self.living.pop(doomed)

    def stop(self) -> None:
        self._told_to_stop.set()
        self.join(120)
        assert not self.is_alive()


def test_a_damaged_index_is_whole_after_a_rebuild_and_answers_throughout(tiny_stack: Stack, library: Library, milvus: Milvus) -> None:
    before = behind_alias(milvus)
    rows = milvus.rows(library.collection_id)
    random.Random(1).shuffle(rows)
    share = PASSAGES // SHARE
    lost, changed, doubled, untouched = (rows[share * part : share * (part + 1)] for part in range(4))
    milvus.delete(lost)
    milvus.write([{**row, "fingerprint": "of-another-text", "dense": other["dense"]} for row, other in zip(changed, lost, strict=True)])
    milvus.write([under_another_key(row) for row in doubled])
    searcher = Searcher(library, [reference_of(row) for row in untouched])
    searcher.start()

    rebuilt = reindex(tiny_stack)

    searcher.stop()
    assert (rebuilt["state"], rebuilt["embedded"], rebuilt["reused"]) == ("SUCCEEDED", 2 * share, PASSAGES - 2 * share)
    assert searcher.searches > 3
    assert library.problems == []
    assert behind_alias(milvus) == f"{before}__2"
    whole = milvus.rows(library.collection_id)
    vectors = {row["terms"]: row["dense"] for row in rows}
    assert sorted(row["terms"] for row in whole) == sorted(vectors)
    assert all(row["dense"] == pytest.approx(vectors[row["terms"]], abs=1e-5) for row in whole)
    assert reconcile(tiny_stack, "--check") == (0, {})
    for row in (*lost[:10], *changed[:10], *doubled[:10]):
        library.look_up(*reference_of(row))
    assert library.problems == []
    eventually(lambda: not milvus.client.has_collection(before), seconds=30, what="the old collection is dropped")


def test_what_is_published_and_deleted_during_a_rebuild_is_right_afterwards(tiny_stack: Stack, library: Library, milvus: Milvus) -> None:
    churn = Churn(library.organisation)
    churn.start()
    rebuilt = reindex(tiny_stack)
    churn.stop()
    assert rebuilt["state"] == "SUCCEEDED"
    assert len(churn.living) > 0
    assert len(churn.deleted) > 0
    for word, document_id in churn.living.items():
        hits = library.organisation.search(word, collections=["tampered"], literal=True).json()["hits"]
        assert hits[0]["document_id"] == document_id
    for document_id in churn.deleted.values():
        assert library.organisation.client.get(f"/api/v1/documents/{document_id}").status_code == 404
    eventually(lambda: nothing_of(milvus, set(churn.deleted.values())), seconds=30, what="what was deleted has left the index")
    eventually(lambda: reconcile(tiny_stack, "--check") == (0, {}), seconds=60, what="index and documents agree")


def nothing_of(milvus: Milvus, document_ids: set[str]) -> bool:
    listed = ", ".join(f'"{document_id}"' for document_id in document_ids)
    found = milvus.client.query(
        milvus.alias, filter=f"document_id in [{listed}]", output_fields=["row_key"], consistency_level="Strong", limit=10
    )
    return not found


@pytest.mark.parametrize("service", ["ingestor", pytest.param("embedder", marks=pytest.mark.slow)])
def test_a_rebuild_goes_on_after_a_service_was_killed(tiny_stack: Stack, library: Library, milvus: Milvus, service: str) -> None:
    before = behind_alias(milvus)
    pid = tiny_stack.pid(service)
    with suppress(httpx.TransportError), tiny_stack.operator.stream("POST", "/api/v1/reindex", json={}) as response:
        for seen in events(response):
            if seen["walk"] >= 1:
                os.kill(pid, signal.SIGKILL)
                break
    assert behind_alias(milvus) == before, "it was killed before the switch"
    eventually(tiny_stack.is_healthy, seconds=120, what="the stack is whole again")
    rebuilt = reindex(tiny_stack, "--follow")
    assert (rebuilt["state"], rebuilt["rebuild_id"]) == ("SUCCEEDED", seen["rebuild_id"])
    assert behind_alias(milvus) != before
    assert reconcile(tiny_stack, "--check") == (0, {})


def test_one_rebuild_runs_at_a_time_and_only_for_operators(tiny_stack: Stack, library: Library) -> None:
    admin = tiny_stack.new_organisation("not-an-operator").client
    refused = admin.post("/api/v1/reindex", json={})
    assert (refused.status_code, refused.json()["reason"]) == (403, "ROLE_REQUIRED")
    with tiny_stack.operator.stream("POST", "/api/v1/reindex", json={}) as response:
        rebuilds = events(response)
        first = next(rebuilds)
        second = tiny_stack.operator.post("/api/v1/reindex", json={})
        assert (second.status_code, second.json()["reason"]) == (409, "REBUILD_RUNNING")
        *_, last = rebuilds
    assert (last["state"], last["rebuild_id"]) == ("SUCCEEDED", first["rebuild_id"])
