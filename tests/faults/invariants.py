"""What must hold once everything is quiet, whatever went wrong before. Each yields a sentence for each thing that is not so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

Record: TypeAlias = dict[str, Any]
ENDED_STATES = {"READY", "FAILED", "QUARANTINED", "CANCELLED"}
# A generation that ended like this stays with what was written of it: a retry takes it up.
_CAN_BE_RETRIED = {"FAILED", "QUARANTINED", "CANCELLED"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the vector index."""

    passage_id: str
    document_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Stores:
    """All that the stores hold of one organisation: tables of Postgres, rows of the vector index, names in the object store."""

    document: list[Record]
    document_generation: list[Record]
    passage: list[Record]
    task: list[Record]
    deletion_receipt: list[Record]
    stored_object: list[Record]
    rows: list[Row]
    files: set[str]

    @property
    def living(self) -> list[Record]:
        return [document for document in self.document if document["deleted_time"] is None]

    def visible_passages(self) -> list[Record]:
        visible = {(document["document_id"], document["visible_generation"]) for document in self.living}
        return [passage for passage in self.passage if (passage["document_id"], passage["generation"]) in visible]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a delete must have removed."""

    passages: int
    vectors: int
    files: int


@dataclass(frozen=True, slots=True)
class Promises:
    """What callers were told.

    Attributes:
        texts: the words that each acknowledged document must show, by its id; None where another outcome than READY is right.
        deleted: what the receipt of each deleted document must say; None where a delete met work in progress.
    """

    texts: dict[str, str | None] = field(default_factory=dict)
    deleted: dict[str, Receipt | None] = field(default_factory=dict)


def stored_files(folder: Path, organisation_id: str) -> set[str]:
    """The object keys of an organisation's files under ``folder``."""
    place = folder / f"organisation-{quote(organisation_id, safe='')}"
    return {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}


def nothing_is_lost(stores: Stores, promises: Promises) -> Iterator[str]:
    """Every acknowledged document ends, in READY with its words or otherwise with a reason."""
    documents = {document["document_id"]: document for document in stores.living}
    for document_id, words in promises.texts.items():
        document = documents.get(document_id)
        if document is None:
            yield f"document {document_id} is gone"
            continue
        state, reason = document["state"], document["reason"]
        if state not in ENDED_STATES or (state != "READY" and not reason):
            yield f"document {document_id} ended in {state} {reason}"
        if words is not None and state != "READY":
            yield f"document {document_id} is {state} ({reason}: {document['message']}) after a fault that passed"
        shown = " ".join(_texts(stores, document_id))
        if words is not None and shown.split() != words.split():
            yield f"document {document_id} shows {shown[:80]!r} instead of {words[:80]!r}"


def nothing_is_there_twice(stores: Stores, promises: Promises) -> Iterator[str]:
    """One document an identity, one passage a place, one row a passage, one unfinished or visible generation a document."""
    for what, keys in (
        ("documents with the identity", [document["identity"] for document in stores.living]),
        ("passages at", [(passage["document_id"], passage["generation"], passage["ordinal"]) for passage in stores.passage]),
        ("rows of passage", [row.passage_id for row in stores.rows]),
        ("finished generations of", [one["document_id"] for one in stores.document_generation if one["state"] == "READY"]),
        ("receipts of", [receipt["document_id"] for receipt in stores.deletion_receipt]),
    ):
        yield from (f"{count} {what} {key}" for key, count in Counter(keys).items() if count > 1)
    unknown = {document["document_id"] for document in stores.living} - promises.texts.keys()
    yield from (f"nobody was told of document {document_id}" for document_id in unknown)


def nothing_is_orphaned(stores: Stores, promises: Promises) -> Iterator[str]:
    """Nothing remains in any store that no visible or retriable generation needs."""
    needed = {(document["document_id"], document["visible_generation"]) for document in stores.living} | {
        (document["document_id"], document["content_generation"]) for document in stores.living if document["state"] in _CAN_BE_RETRIED
    }
    for row in stores.rows:
        if (row.document_id, row.generation) not in needed:
            yield f"the index holds a row of generation {row.generation} of document {row.document_id}"
    for table in ("passage", "document_generation"):
        for record in getattr(stores, table):
            if (record["document_id"], record["generation"]) not in needed:
                yield f"{table} holds generation {record['generation']} of document {record['document_id']}"
    known = {record["object_key"] for record in stores.stored_object}
    yield from (f"file {name} has no row" for name in stores.files - known)
    used = {one["object_key"] for one in stores.document_generation} - {None}
    yield from (f"file {name} of a document is gone" for name in used - stores.files)


def index_and_database_agree(stores: Stores, _promises: Promises) -> Iterator[str]:
    """The visible passages are in the index, each as its generation's."""
    held = {(row.passage_id, row.document_id, row.generation) for row in stores.rows}
    for passage in stores.visible_passages():
        if (passage["passage_id"], passage["document_id"], passage["generation"]) not in held:
            yield f"passage {passage['ordinal']} of document {passage['document_id']} is not in the index"
    for document in stores.living:
        shown = len(_texts(stores, document["document_id"]))
        if document["visible_generation"] and shown != document["passage_count"]:
            yield f"document {document['document_id']} says {document['passage_count']} passages and shows {shown}"


def nothing_is_held(stores: Stores, _promises: Promises) -> Iterator[str]:
    """No task is unfinished and no lease runs."""
    for task in stores.task:
        if task["state"] in {"QUEUED", "RUNNING"} or task["leased"]:
            yield f"task {task['task_id']} is {task['state']} in {task['stage']}, leased until {task['lease_until']}"


def receipts_are_right(stores: Stores, promises: Promises) -> Iterator[str]:
    """Every delete is verified, and its receipt counts what stood before."""
    receipts = {receipt["document_id"]: receipt for receipt in stores.deletion_receipt}
    for document_id, expected in promises.deleted.items():
        receipt = receipts.pop(document_id, None)
        if receipt is None or receipt["purge_verified_time"] is None:
            yield f"the delete of document {document_id} is not verified"
        elif expected is not None:
            counted = Receipt(receipt["passage_count"], receipt["vector_count"], receipt["file_count"])
            if counted != expected:
                yield f"the receipt of document {document_id} says {counted} and not {expected}"
        if any(document["document_id"] == document_id for document in stores.document):
            yield f"the deleted document {document_id} still has a row"
    yield from (f"nobody deleted document {document_id}" for document_id in receipts)


INVARIANTS: tuple[Callable[[Stores, Promises], Iterator[str]], ...] = (
    nothing_is_lost,
    nothing_is_there_twice,
    nothing_is_orphaned,
    index_and_database_agree,
    nothing_is_held,
    receipts_are_right,
)


def violations(stores: Stores, promises: Promises) -> list[str]:
    """Everything that is not as it must be."""
    return [f"{invariant.__name__}: {sentence}" for invariant in INVARIANTS for sentence in invariant(stores, promises)]


def _texts(stores: Stores, document_id: str) -> list[str]:
    shown = [passage for passage in stores.visible_passages() if passage["document_id"] == document_id]
    return [passage["text"] for passage in sorted(shown, key=lambda passage: passage["ordinal"])]
