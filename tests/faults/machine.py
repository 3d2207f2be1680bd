"""Everything that can happen to a library, in any order, against a dictionary that knows what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from embedder.adapters.memory_index import MemoryIndex
from ingestor.adapters.postgres.database import Database
from ingestor.domain.collections import NewCollection
from ingestor.domain.ids import new_id
from ingestor.domain.incoming import DocumentHeader, TextEntry
from ingestor.domain.tasks import Stage
from tests.faults.direct import STAGES, Pipeline, once
from tests.faults.failpoints import FAILPOINTS
from tests.faults.invariants import Promises, Row, Stores, violations
from tests.faults.stores import tables

NAMES = ("ant", "bee", "cat")
VERSIONS = (1, 2, 3)
# Where a worker of each stage can stop, for good or while others act. Not with locks that those would wait for.
STOPS = {
    Stage.PARSE: ("parse.claimed", "parse.chunked", "parse.committed"),
    Stage.INDEX: (
        "index.claimed", "embedder.before_acknowledging", "index.batch_acknowledged", "index.accounted", "publish.before_verify",
        "publish.verified", "publish.committed",
    ),
    Stage.PURGE: ("purge.claimed", "purge.vectors_deleted", "purge.committed"),
}  # fmt: skip
CRASHES = {
    stage: stops + tuple(one.name for one in FAILPOINTS if one.within_transaction and one.part in parts)
    for (stage, stops), parts in zip(STOPS.items(), (("parse",), ("publish",), ("purge",)), strict=True)
}
INTAKE_CRASHES = ("intake.object_stored", "intake.before_commit", "intake.committed")
_stage = st.sampled_from(STAGES)
_name = st.sampled_from(NAMES)
_version = st.sampled_from(VERSIONS)


class Crash(BaseException):
    """The process is gone: nothing of its code runs any more, no handler of errors either."""


@dataclass(slots=True)
class Known:
    """What the callers of one document were told: every version that was acknowledged, the last one last."""

    document_id: str
    texts: list[str] = field(default_factory=list)


class Steps:
    """What happens at the named steps: whatever is planned, once."""

    def __init__(self) -> None:
        self._plans: dict[str, Callable[[], Awaitable[None]]] = {}

    def plan(self, failpoint: str, action: Callable[[], Awaitable[None]]) -> None:
        self._plans = {failpoint: action}

    def clear(self) -> None:
        self._plans = {}

    async def reach(self, failpoint: str) -> None:
        action = self._plans.pop(failpoint, None)
        if action is not None:
            await action()


class LibraryMachine(RuleBasedStateMachine):
    """One organisation's library."""

    def __init__(self, runner: asyncio.Runner, database: Database, steps: Steps) -> None:
        super().__init__()
        self._runner = runner
        self._steps = steps
        self._pipeline = Pipeline(database, MemoryIndex(), steps.reach)
        self._organisation = f"organisation-{new_id()}"
        self._known: dict[str, Known] = {}
        self._promises = Promises()
        self._drifted = False

    @initialize()
    def begin(self) -> None:
        self._run(self._begin())

    @rule(name=_name, version=_version)
    def upload(self, name: str, version: int) -> None:
        self._run(self._upload(name, version))

    @rule(names=st.lists(_name, min_size=1, max_size=3, unique=True), version=_version)
    def send_batch(self, names: list[str], version: int) -> None:
        self._run(self._send_batch(names, version))

    @rule(name=_name, version=_version, failpoint=st.sampled_from(INTAKE_CRASHES))
    def crash_while_uploading_and_send_again(self, name: str, version: int, failpoint: str) -> None:
        self._steps.plan(failpoint, _crash)
        self._run(_until_crash(self._upload(name, version)))
        self._steps.clear()
        self._run(self._upload(name, version))

    @precondition(lambda self: self._known)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self._run(self._delete(data.draw(st.sampled_from(sorted(self._known)))))

    @rule(stage=_stage)
    def work(self, stage: Stage) -> None:
        self._run(self._pipeline.work(stage))

    @rule()
    def work_until_quiet(self) -> None:
        self._run(self._pipeline.drain())

    @rule(stage=_stage, data=st.data())
    def crash(self, stage: Stage, data: st.DataObject) -> None:
        self._steps.plan(data.draw(st.sampled_from(CRASHES[stage])), _crash)
        self._run(_until_crash(self._pipeline.work(stage)))
        self._steps.clear()

    @rule()
    def let_leases_end(self) -> None:
        self._run(self._pipeline.end_leases())

    @rule(stage=_stage, data=st.data(), name=_name, version=_version)
    def sleep_past_the_lease_while_others_work(self, stage: Stage, data: st.DataObject, name: str, version: int) -> None:
        async def meanwhile() -> None:
            await self._pipeline.end_leases()
            await self._upload(name, version)
            await self._pipeline.drain()

        self._work_and_meanwhile(stage, data, meanwhile)

    @rule(stage=_stage, data=st.data(), name=_name, version=_version)
    def send_while_work_goes_on(self, stage: Stage, data: st.DataObject, name: str, version: int) -> None:
        self._work_and_meanwhile(stage, data, lambda: self._upload(name, version))

    @precondition(lambda self: self._known)
    @rule(stage=_stage, data=st.data())
    def delete_while_work_goes_on(self, stage: Stage, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self._known)))
        self._work_and_meanwhile(stage, data, lambda: self._delete(name))

    @rule(data=st.data())
    def lose_a_row_of_the_index(self, data: st.DataObject) -> None:
        rows = self._rows()
        if rows:
            row = data.draw(st.sampled_from(rows))
            self._run(self._pipeline.index.delete_passages(self._organisation, [row.passage_id]))
            self._drifted = True

    @rule()
    def reconcile(self) -> None:
        self._run(self._reconcile())

    @invariant()
    def readers_see_one_whole_acknowledged_version_or_none(self) -> None:
        self._run(self._read())

    def teardown(self) -> None:
        self._steps.clear()
        self._run(self._end())

    def _run(self, work: Awaitable[object]) -> None:
        async def run() -> None:
            async with asyncio.timeout(60):
                await work

        self._runner.run(run())

    def _work_and_meanwhile(self, stage: Stage, data: st.DataObject, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._steps.plan(data.draw(st.sampled_from(STOPS[stage])), meanwhile)
        self._run(self._pipeline.work(stage))
        self._steps.clear()

    async def _begin(self) -> None:
        # What a failed example left behind is nobody's work.
        await self._pipeline.execute("DELETE FROM library.task WHERE state IN ('QUEUED', 'RUNNING')")
        new = NewCollection(name="library", description="", metadata={}, passage_tokens=0)
        await self._pipeline.collections.create(self._organisation, new_id(), new)

    async def _upload(self, name: str, version: int) -> None:
        words = _words(name, version)
        header = DocumentHeader("library", name, f"{name}.txt", None, "", "", "")
        accepted = await self._pipeline.intake.upload(self._organisation, header, once(words.encode()))
        self._acknowledged(name, accepted.document_ids[0], words)

    async def _send_batch(self, names: list[str], version: int) -> None:
        entries = [TextEntry(name, "", _words(name, version), None) for name in names]

        async def batches() -> AsyncIterator[list[TextEntry]]:
            yield entries

        accepted = await self._pipeline.intake.batch(self._organisation, "library", batches())
        for name, document_id in zip(names, accepted.document_ids, strict=True):
            self._acknowledged(name, document_id, _words(name, version))

    def _acknowledged(self, name: str, document_id: str, words: str) -> None:
        known = self._known.setdefault(name, Known(document_id))
        assert known.document_id == document_id, f"{name} became another document"
        known.texts.append(words)
        self._promises.texts[document_id] = words

    async def _delete(self, name: str) -> None:
        known = self._known.pop(name)
        await self._pipeline.documents.delete(self._organisation, known.document_id, new_id())
        del self._promises.texts[known.document_id]
        self._promises.deleted[known.document_id] = None

    async def _reconcile(self) -> None:
        """Mend while nothing else goes on, so that the outcome is known."""
        await self._pipeline.end_leases()
        await self._pipeline.drain()
        mending = asyncio.create_task(self._mend())
        while not mending.done():
            await self._pipeline.drain()
            await asyncio.sleep(0.01)  # what it queued is worked on
        await mending
        self._drifted = False

    async def _mend(self) -> None:
        async for _ in self._pipeline.reconciler.repair(self._organisation):
            pass

    async def _read(self) -> None:
        rows = [row.passage_id for row in self._rows()]
        tables_now = await tables(self._pipeline.database, self._organisation)
        ids = [passage["passage_id"] for passage in tables_now["passage"]]
        shown: dict[str, list[str]] = {}
        for passage in sorted(await self._pipeline.passages.visible(self._organisation, [*ids, *rows]), key=lambda one: one.ordinal):
            shown.setdefault(passage.document_id, [])
            if passage.text not in shown[passage.document_id]:
                shown[passage.document_id].append(passage.text)
        acknowledged = {known.document_id: known.texts for known in self._known.values()}
        for document_id, texts in shown.items():
            assert " ".join(texts) in acknowledged.get(document_id, []), f"readers see {texts} of {document_id}"

    async def _end(self) -> None:
        await self._pipeline.end_leases()
        await self._pipeline.drain()
        if self._drifted:
            await self._reconcile()
        await self._pipeline.drain()
        stored = await tables(self._pipeline.database, self._organisation)
        prefix = f"organisation-{self._organisation}/"
        files = {one["path"].removeprefix(prefix) for batch in self._pipeline.files.list() for one in batch}
        assert violations(Stores(**stored, rows=self._rows(), files=files), self._promises) == []

    def _rows(self) -> list[Row]:
        held = self._pipeline.index._rows(self._organisation).values()
        return [Row(row.passage.passage_id, row.passage.document_id, row.passage.generation) for row in held]


def _words(name: str, version: int) -> str:
    """Three passages, of which versions share the first."""
    return " ".join([f"{name}{number}" for number in range(20)] + [f"{name}v{version}w{number}" for number in range(25)])


async def _crash() -> None:
    raise Crash


async def _until_crash(work: Awaitable[object]) -> None:
    try:
        await work
    except Crash:
        return
