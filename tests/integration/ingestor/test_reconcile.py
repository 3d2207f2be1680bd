"""Drift of every kind: made behind the library's back, counted exactly, mended, and gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from ingestor.settings import IngestorSettings
from lectern.embedder.v1 import index_pb2
from lectern.ingestor.v1 import documents_pb2, reconcile_pb2
from shared.errors import AppError, Status
from tests.integration.ingestor.dictionary_embedder import Indexes, Row
from tests.integration.ingestor.library import Library, error_of, eventually, open_library, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "\n\n".join(f"# Part {number}\n\n" + " ".join(f"word{number}x{word}" for word in range(50)) for number in range(6))


def counts(report: reconcile_pb2.ReconcileResponse) -> dict[str, tuple[int, int]]:
    """Found and mended by kind, where anything was found."""
    named = {reconcile_pb2.DriftKind.Name(each.kind).removeprefix("DRIFT_KIND_"): each for each in report.drift}
    assert len(named) == 5
    return {name: (each.found_count, each.mended_count) for name, each in named.items() if each.found_count or each.mended_count}


async def take_in(library: Library, text: str, name: str) -> documents_pb2.Document:
    uploaded = await library.upload(text, name=name)
    await library.ended(uploaded.job.job_id)
    return await library.get(uploaded.document.document_id)


async def quiet(library: Library) -> None:
    """Wait until no task is left that would explain a difference."""

    async def nothing_in_work() -> bool:
        statement = "SELECT count(*) AS n FROM library.task WHERE organisation_id = $1 AND state IN ('QUEUED', 'RUNNING')"
        return bool((await library.query(statement, library.organisation_id))[0]["n"] == 0)

    await eventually(nothing_in_work)


async def a_library(library: Library, names: Iterable[str] = ("a.md", "b.md")) -> list[documents_pb2.Document]:
    await library.create_collection()
    documents = [await take_in(library, f"{name}\n\n{LONG}", name) for name in names]
    await quiet(library)
    return documents


def copy(row: Row, **changes: object) -> Row:
    passage = index_pb2.Passage()
    passage.CopyFrom(row.passage)
    for name, value in changes.items():
        setattr(passage, name, value)
    return Row(passage, row.vector)


async def test_a_library_that_nobody_tampered_with_has_no_drift(library: Library) -> None:
    documents = await a_library(library)
    report = await library.reconcile()
    assert counts(report) == {}
    assert report.done_count == report.total_count == sum(document.passage_count for document in documents) == len(library.index.rows)


async def test_lost_passages_are_counted_and_only_they_are_embedded_again(library: Library) -> None:
    document, _ = await a_library(library)
    lost = [row.passage for row in library.index.of(document.document_id)[:2]]
    for passage in lost:
        del library.index.rows[passage.passage_id]
    assert counts(await library.reconcile()) == {"MISSING": (2, 0)}
    library.index.embedded.clear()
    assert counts(await library.reconcile(repair=True)) == {"MISSING": (2, 2)}
    assert sorted(library.index.embedded) == sorted(passage.text for passage in lost)
    assert counts(await library.reconcile()) == {}
    visible = {passage.passage_id: passage.text for passage in await library.visible(document.document_id)}
    assert {row.passage.passage_id: row.passage.text for row in library.index.of(document.document_id)} == visible


async def test_rows_of_documents_that_never_were_are_orphans_and_go(library: Library) -> None:
    document, _ = await a_library(library)
    row = library.index.of(document.document_id)[0]
    library.index.rows["0" * 32] = copy(row, document_id="never")
    library.index.rows["f" * 32] = copy(row, fingerprint="of-no-passage")
    assert counts(await library.reconcile()) == {"ORPHAN": (2, 0)}
    assert counts(await library.reconcile(repair=True)) == {"ORPHAN": (2, 2)}
    assert not {"0" * 32, "f" * 32} & set(library.index.rows)
    assert counts(await library.reconcile()) == {}


async def test_rows_of_a_generation_that_nobody_sees_are_stale_and_go(library: Library) -> None:
    document, _ = await a_library(library)
    old = {row.passage.passage_id: row for row in library.index.of(document.document_id)}
    await take_in(library, "Quite another text.", "a.md")
    await quiet(library)
    library.index.rows |= old
    assert counts(await library.reconcile()) == {"STALE": (len(old), 0)}
    assert counts(await library.reconcile(repair=True)) == {"STALE": (len(old), len(old))}
    assert len(library.index.of(document.document_id)) == 1
    assert counts(await library.reconcile()) == {}


async def test_a_passage_held_twice_is_a_duplicate_and_one_of_the_two_stays(library: Library) -> None:
    document, _ = await a_library(library)
    row = library.index.of(document.document_id)[0]
    library.index.rows["0" * 32] = copy(row)
    assert counts(await library.reconcile()) == {"DUPLICATE": (1, 0)}
    assert counts(await library.reconcile(repair=True)) == {"DUPLICATE": (1, 1)}
    assert row.passage.passage_id in library.index.rows
    assert counts(await library.reconcile()) == {}


@pytest.mark.parametrize("change", [{"fingerprint": "of another text"}, {"document_id": "another"}, {"generation": 99}])
async def test_something_else_under_a_passages_id_is_a_mismatch_and_is_embedded_again(library: Library, change: dict[str, object]) -> None:
    document, _ = await a_library(library)
    row = library.index.of(document.document_id)[0]
    library.index.rows[row.passage.passage_id] = Row(copy(row, **change).passage, "the vector of something else")
    assert counts(await library.reconcile()) == {"MISMATCH": (1, 0)}
    assert counts(await library.reconcile(repair=True)) == {"MISMATCH": (1, 1)}
    assert "the vector of something else" not in {row.vector for row in library.index.rows.values()}
    assert counts(await library.reconcile()) == {}


async def test_attributes_of_an_older_version_are_a_mismatch(library: Library) -> None:
    document, _ = await a_library(library)
    before = {row.passage.text: row.passage.fingerprint for row in library.index.of(document.document_id)}
    await library.call(
        library.documents.UpdateDocument,
        documents_pb2.UpdateDocumentRequest(document_id=document.document_id, metadata=struct({"team": "a"})),
    )
    await quiet(library)
    assert counts(await library.reconcile()) == {}
    row = library.index.of(document.document_id)[0]
    library.index.rows[row.passage.passage_id] = copy(row, fingerprint=before[row.passage.text])
    assert counts(await library.reconcile()) == {"MISMATCH": (1, 0)}


async def test_what_a_task_is_working_on_is_left_to_it(library: Library) -> None:
    document, _ = await a_library(library)
    lost = library.index.of(document.document_id)[0].passage.passage_id
    library.index.open.clear()
    uploaded = await library.upload("Newer text.", name="a.md")
    await library.index.arrived.wait()
    del library.index.rows[lost]
    report = await library.reconcile(repair=True)
    assert counts(report) == {}
    assert report.unsettled_count == 1
    library.index.open.set()
    await library.ended(uploaded.job.job_id)
    await quiet(library)
    assert counts(await library.reconcile()) == {}


async def test_an_organisation_mends_its_own_rows_alone(library: Library) -> None:
    await a_library(library)
    other = library.for_organisation(f"{library.organisation_id}-other")
    (document, _) = await a_library(other)
    row = other.index.of(document.document_id)[0]
    other.index.rows["0" * 32] = copy(row, document_id="never")
    assert counts(await library.reconcile(repair=True)) == {}
    assert "0" * 32 in other.index.rows


async def test_two_repairs_of_one_organisation_do_not_run_at_once(library: Library) -> None:
    await a_library(library)
    statement = (
        "INSERT INTO library.reconciliation (organisation_id, lease_token, lease_until) VALUES ($1, 'other', now() + interval '1 hour')"
    )
    await library.query(statement, library.organisation_id)
    error = await error_of(library.reconcile(repair=True))
    assert (error.reason, error.status) == ("RECONCILIATION_RUNNING", Status.ABORTED)
    assert counts(await library.reconcile()) == {}


async def test_an_index_that_cannot_be_compared_ends_a_run_with_its_own_error_and_lets_the_next_begin(library: Library) -> None:
    await a_library(library)
    library.index.failures["ScanPassages"] = [AppError("INDEX_OF_OTHER_MODEL", Status.FAILED_PRECONDITION, "no")]
    assert (await error_of(library.reconcile(repair=True))).reason == "INDEX_OF_OTHER_MODEL"
    assert counts(await library.reconcile(repair=True)) == {}


async def test_the_scheduled_run_mends_every_organisation_by_itself(settings: IngestorSettings, indexes: Indexes) -> None:
    scheduled = settings.model_copy(
        update={"reconciliation": settings.reconciliation.model_copy(update={"every_hours": 1 / 3600, "grace_seconds": 0.0})}
    )
    async with open_library(scheduled, indexes) as library:
        other = library.for_organisation("gone")
        (document, _) = await a_library(library)
        row = library.index.of(document.document_id)[0]
        other.index.rows["0" * 32] = copy(row, document_id="never")
        del library.index.rows[row.passage.passage_id]

        async def mended() -> bool:
            held = {row.passage.text for row in library.index.of(document.document_id)}
            return not other.index.rows and len(held) == document.passage_count

        await eventually(mended)


async def test_a_scheduled_run_asks_first_when_most_of_the_index_differs(settings: IngestorSettings, indexes: Indexes) -> None:
    options = settings.reconciliation.model_copy(update={"every_hours": 1 / 3600})
    async with open_library(settings.model_copy(update={"reconciliation": options}), indexes) as library:
        orphans = {f"{number:032x}": index_pb2.Passage(passage_id=f"{number:032x}", document_id="never") for number in range(150)}
        library.index.rows |= {passage_id: Row(passage, "") for passage_id, passage in orphans.items()}

        async def counted() -> bool:
            rows = await library.query("SELECT orphan_count FROM library.reconciliation WHERE check_time IS NOT NULL")
            return [row["orphan_count"] for row in rows] == [150]

        await eventually(counted)
        await asyncio.wait_for(library.reconcile(), 10)
        assert len(library.index.rows) == 150
