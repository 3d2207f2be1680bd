"""Rows lost, doubled and slipped in behind our back in Milvus: search stays right, every one is counted, and all of it is mended."""

from __future__ import annotations

import json
import random
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymilvus import MilvusClient

from tests.conftest import folder_for_a_server
from tests.contract.embedder.tiny_models import CORPUS, bert
from tests.e2e.conftest import Organisation, Stack, running_stack

PASSAGES_A_DOCUMENT = 5
SHARE = 50
WORDS = " ".join(CORPUS).lower().replace(".", "").replace(",", "").split()
COLUMNS = [
    "row_key", "organisation_id", "document_id", "collection_id", "connection_id", "type", "author", "language", "generation",
    "access_set_id", "create_time", "update_time", "outdated", "metadata", "fingerprint", "terms", "dense",
]  # fmt: skip
Row = dict[str, Any]


@pytest.fixture(scope="module")
def tiny_stack() -> Iterator[Stack]:
    """A stack whose model is so small that twenty thousand passages cost seconds; it is loaded as any other."""
    with folder_for_a_server() as folder:
        model = bert(folder / "model")
        settings = {"LECTERN_EMBEDDER_MODEL": str(model), "LECTERN_INGESTOR_RECONCILIATION__GRACE_SECONDS": "0"}
        yield from running_stack(folder / "home", **settings)


@dataclass
class Milvus:
    """What stands in the store, past everything that guards it."""

    client: MilvusClient
    alias: str = "passages"

    def rows(self, collection_id: str) -> list[Row]:
        pages = self.client.query_iterator(
            self.alias, batch_size=1000, filter=f'collection_id == "{collection_id}"', output_fields=COLUMNS, consistency_level="Strong"
        )
        found: list[Row] = []
        while page := pages.next():
            found += [dict(row) for row in page]
        pages.close()
        return found

    def delete(self, rows: list[Row]) -> None:
        self.client.delete(self.alias, ids=[row["row_key"] for row in rows])

    def write(self, rows: list[Row]) -> None:
        for start in range(0, len(rows), 200):
            self.client.upsert(self.alias, rows[start : start + 200])


def under_another_key(row: Row, **changes: Any) -> Row:
    organisation = row["row_key"].partition("/")[0]
    return {**row, "row_key": f"{organisation}/{secrets.token_hex(16)}", **changes}


def text(document: int, passage: int) -> str:
    chooser = random.Random(f"{document}/{passage}")
    return f"Reference ref{document}x{passage}. " + " ".join(chooser.choices(WORDS, k=24)).capitalize() + "."


@dataclass
class Library:
    """What was taken in, and where it may be looked for."""

    organisation: Organisation
    collection_id: str
    documents: int
    problems: list[str] = field(default_factory=list)

    def look_up(self, document: int, passage: int) -> None:
        """Search for a passage by its reference, and note what is wrong with the answer."""
        reference = f"ref{document}x{passage}"
        response = self.organisation.search(reference, collections=["tampered"], literal=True, limit=20)
        if response.status_code != 200:
            self.problems.append(f"{reference}: {response.status_code} {response.text}")
            return
        hits = response.json()["hits"]
        places = [(hit["external_id"], hit["text"]) for hit in hits]
        if not any(f"{reference}." in hit["text"] and hit["external_id"] == f"d{document}" for hit in hits[:1]):
            self.problems.append(f"{reference} is not the first of its hits: {places[:2]}")
        if len(set(places)) < len(places):
            self.problems.append(f"{reference}: a passage was found twice")
        if len(hits) < 20:
            self.problems.append(f"{reference}: only {len(hits)} hits")


class Searcher(threading.Thread):
    """Looks passages up that nobody tampered with, without pause, until told to stop."""

    def __init__(self, library: Library, untouched: list[tuple[int, int]]) -> None:
        super().__init__(daemon=True)
        self._library = library
        self._untouched = untouched
        self._told_to_stop = threading.Event()
        self.searches = 0

    def run(self) -> None:
        chooser = random.Random(7)
        while not self._told_to_stop.is_set():
            self._library.look_up(*chooser.choice(self._untouched))
            self.searches += 1

    def stop(self) -> None:
        self._told_to_stop.set()
        self.join(60)


def take_in(stack: Stack, passages: int) -> Library:
    organisation = Organisation("default", stack.operator)
    collection = organisation.create_collection("tampered")
    documents = passages // PASSAGES_A_DOCUMENT
    entries = [
        {"id": f"d{document}", "text": "\n\n".join(text(document, passage) for passage in range(PASSAGES_A_DOCUMENT))}
        for document in range(documents)
    ]
    job = organisation.batch("tampered", entries)
    assert organisation.wait_for_job(job["id"], seconds=600)["state"] == "SUCCEEDED"
    return Library(organisation, collection["id"], documents)


def reference_of(row: Row) -> tuple[int, int]:
    """Document and passage that a row is of."""
    (word,) = (term for term in row["terms"].split() if term.startswith("ref") and "x" in term and term[3].isdigit())
    document, passage = word.removeprefix("ref").split("x")
    return int(document), int(passage)


def reconcile(stack: Stack, option: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """The exit status, and found and mended by kind, where there are any."""
    ran = stack.lectern("reconcile", option, "--json", check=False, timeout=600)
    report = json.loads(ran.stdout)
    assert report["unsettled"] == 0
    return ran.returncode, {each["kind"]: (each["found"], each["mended"]) for each in report["drift"] if each["found"] or each["mended"]}


@pytest.mark.parametrize("passages", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_what_is_lost_doubled_or_slipped_in_behind_our_back_is_counted_exactly_and_mended(tiny_stack: Stack, passages: int) -> None:
    library = take_in(tiny_stack, passages)
    milvus = Milvus(MilvusClient(f"http://127.0.0.1:{tiny_stack.environment['LECTERN_PORT_MILVUS']}", timeout=30))
    rows = milvus.rows(library.collection_id)
    assert len(rows) == passages
    assert reconcile(tiny_stack, "--check") == (0, {})

    random.Random(passages).shuffle(rows)
    share = passages // SHARE
    lost, doubled, orphaned, stale, changed, untouched = (rows[share * part : share * (part + 1)] for part in range(6))
    searcher = Searcher(library, [reference_of(row) for row in untouched])
    searcher.start()
    milvus.delete(lost)
    milvus.write([under_another_key(row) for row in doubled])
    milvus.write([under_another_key(row, document_id=f"never-{secrets.token_hex(8)}") for row in orphaned])
    milvus.write([under_another_key(row, generation=row["generation"] + 7) for row in stale])
    milvus.write([{**row, "fingerprint": "of-another-text", "dense": other["dense"]} for row, other in zip(changed, lost, strict=True)])

    found = dict.fromkeys(("MISSING", "DUPLICATE", "ORPHAN", "STALE", "MISMATCH"), (share, 0))
    assert reconcile(tiny_stack, "--check") == (3, found)
    assert reconcile(tiny_stack, "--check") == (3, found), "a check changes nothing"
    assert reconcile(tiny_stack, "--repair") == (0, dict.fromkeys(found, (share, share)))
    assert reconcile(tiny_stack, "--check") == (0, {})
    searcher.stop()
    assert searcher.searches > 10
    assert library.problems == []

    mended = milvus.rows(library.collection_id)
    assert sorted(row["terms"] for row in mended) == sorted(row["terms"] for row in rows)
    for row in (*lost[:20], *changed[:20], *doubled[:20]):
        library.look_up(*reference_of(row))
    assert library.problems == []
    vectors = {row["terms"]: row["dense"] for row in rows}
    assert all(row["dense"] == pytest.approx(vectors[row["terms"]], abs=1e-5) for row in mended)
    tiny_stack.operator.delete("/api/v1/collections/tampered").raise_for_status()
