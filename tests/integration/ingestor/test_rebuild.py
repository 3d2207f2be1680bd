"""The moments of a rebuild at which something could be lost or come back."""

from __future__ import annotations

import pytest

from ingestor.settings import IngestorSettings
from lectern.ingestor.v1 import rebuild_pb2
from shared.errors import AppError, Status
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library, error_of, eventually, open_library
from tests.integration.ingestor.test_reconcile import a_library, counts, quiet, take_in

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOST = AppError("INDEX_UNAVAILABLE", Status.UNAVAILABLE, "Try again.")


async def state_is(library: Library, state: str) -> None:
    async def reached() -> bool:
        return await library.rebuild_state() == state

    await eventually(reached)


async def texts_found(library: Library) -> set[str]:
    """What searches can find: the index's rows that the library shows."""
    return {passage.text for passage in await library.read(*library.index.rows)}


async def test_a_rebuilt_index_has_the_old_ones_rows_and_vectors_and_embeds_only_what_was_damaged(own_library: Library) -> None:
    library = own_library
    document, _ = await a_library(library)
    before = dict(library.index.rows)
    lost, changed = (row.passage.passage_id for row in library.index.of(document.document_id)[:2])
    del library.index.rows[lost]
    library.index.rows[changed].passage.fingerprint = "of another text"
    library.index.rows[changed].vector = "of another text"
    await library.start_rebuild()
    rebuilt = await library.rebuilt()
    assert (rebuilt.state, rebuilt.embedded_count) == (rebuild_pb2.REBUILD_STATE_SUCCEEDED, 2)
    assert rebuilt.reused_count == len(before) - 2
    assert library.indexes.serving == 2
    assert {key: row.vector for key, row in library.index.rows.items()} == {
        key: f"{row.passage.context}|{row.passage.text}" for key, row in before.items()
    }
    assert counts(await library.reconcile()) == {}


async def test_a_document_on_its_way_into_the_old_index_is_in_the_new_one(own_library: Library) -> None:
    library = own_library
    await a_library(library)
    library.index.open.clear()
    library.index.arrived.clear()
    uploaded = await library.upload("Just in time.", name="late.md")
    await library.index.arrived.wait()
    await library.start_rebuild()
    await state_is(library, "SWITCHING")
    assert library.indexes.serving == 1, "the switch waits for who is writing"
    library.index.open.set()
    assert (await library.rebuilt()).state == rebuild_pb2.REBUILD_STATE_SUCCEEDED
    await library.ended(uploaded.job.job_id)
    assert "Just in time." in await texts_found(library)
    await quiet(library)
    assert counts(await library.reconcile()) == {}


async def test_what_is_deleted_and_uploaded_while_tasks_are_held_back_is_right_once_they_go_on(own_library: Library) -> None:
    library = own_library
    document, kept = await a_library(library)
    library.indexes["*"].failures["SwitchCollection"] = [LOST] * 3
    library.index.open.clear()
    library.index.arrived.clear()
    uploaded = await library.upload("First.", name="first.md")
    await library.index.arrived.wait()
    await library.start_rebuild()
    await state_is(library, "SWITCHING")
    await library.delete(document.document_id)
    second = await library.upload("Second.", name="second.md")
    library.index.open.set()
    assert (await library.rebuilt()).state == rebuild_pb2.REBUILD_STATE_SUCCEEDED
    for job in (uploaded.job.job_id, second.job.job_id):
        await library.ended(job)
    await quiet(library)
    assert library.index.of(document.document_id) == []
    assert (await library.receipt(document.document_id)).HasField("purge_verified_time")
    assert {"First.", "Second."} < await texts_found(library)
    assert len(library.index.of(kept.document_id)) == kept.passage_count
    assert counts(await library.reconcile()) == {}


async def test_a_switch_whose_reply_was_lost_is_found_out_and_nothing_is_built_again(own_library: Library) -> None:
    library = own_library
    await a_library(library)
    before = set(library.index.rows)
    library.indexes["*"].failures["SwitchCollection"] = [LOST]
    await library.start_rebuild()
    rebuilt = await library.rebuilt()
    assert (rebuilt.state, rebuilt.reason, rebuilt.reused_count) == (rebuild_pb2.REBUILD_STATE_SUCCEEDED, "", len(before))
    assert library.indexes.serving == 2
    assert set(library.index.rows) == before
    await take_in(library, "Afterwards.", "after.md")
    assert "Afterwards." in await texts_found(library)


async def test_a_rebuild_goes_on_where_it_was_when_the_ingestor_is_started_again(settings: IngestorSettings, indexes: Indexes) -> None:
    async with open_library(settings, indexes) as library:
        await a_library(library)
        library.index.failures["ScanBuiltPassages"] = [None, *[LOST] * 10_000]
        await library.start_rebuild()

        async def waits() -> bool:
            rows = await library.query("SELECT reason, reused FROM library.index_rebuild")
            return bool(rows[0]["reason"] == "INDEX_UNAVAILABLE")

        await eventually(waits)
        built = dict(library.index.built)
    assert len(built) == len(indexes["acme"].rows)
    indexes["acme"].failures.clear()
    async with open_library(settings, indexes) as library:
        rebuilt = await library.rebuilt()
        assert (rebuilt.state, rebuilt.reused_count) == (rebuild_pb2.REBUILD_STATE_SUCCEEDED, len(built))
        assert counts(await library.reconcile()) == {}


async def test_what_does_not_pass_by_itself_ends_a_rebuild_and_the_old_index_answers(own_library: Library) -> None:
    library = own_library
    await a_library(library)
    rows = dict(library.index.rows)
    library.indexes["*"].failures["PrepareCollection"] = [AppError("INDEX_OF_OTHER_MODEL", Status.FAILED_PRECONDITION, "no")]
    await library.start_rebuild()
    rebuilt = await library.rebuilt()
    assert (rebuilt.state, rebuilt.reason) == (rebuild_pb2.REBUILD_STATE_FAILED, "INDEX_OF_OTHER_MODEL")
    assert library.index.rows == rows
    await library.start_rebuild()
    assert (await library.rebuilt()).state == rebuild_pb2.REBUILD_STATE_SUCCEEDED


async def test_one_rebuild_runs_at_a_time_and_only_services_begin_one(own_library: Library) -> None:
    library = own_library
    await a_library(library)
    library.index.failures["ScanBuiltPassages"] = [LOST] * 10_000
    await library.start_rebuild()
    assert (await error_of(library.start_rebuild())).reason == "REBUILD_RUNNING"
    assert (await error_of(library.call(library.rebuilds.StartRebuild, rebuild_pb2.StartRebuildRequest()))).reason == "SERVICES_ONLY"
    library.index.failures.clear()
    assert (await library.rebuilt()).state == rebuild_pb2.REBUILD_STATE_SUCCEEDED
