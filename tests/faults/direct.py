"""The pipeline without its processes: every step when the test says so, over the real database and an index in memory."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
from obstore.store import MemoryStore

from embedder import convert
from embedder.adapters.memory_index import MemoryIndex
from embedder.domain.passages import Generations, IndexedPassage
from ingestor.adapters.embedder import passage_messages
from ingestor.adapters.object_store import ObjectContent
from ingestor.adapters.parsers import formats
from ingestor.adapters.parsers.language import detect_language
from ingestor.adapters.parsers.zip_archive import members
from ingestor.adapters.postgres.collections import PostgresCollections
from ingestor.adapters.postgres.database import Database, open_database
from ingestor.adapters.postgres.documents import PostgresDocuments
from ingestor.adapters.postgres.index_store import PostgresIndexStore
from ingestor.adapters.postgres.intake import PostgresIntake
from ingestor.adapters.postgres.parse_store import PostgresParseStore
from ingestor.adapters.postgres.passages import PostgresPassages
from ingestor.adapters.postgres.purges import PostgresPurges
from ingestor.adapters.postgres.queue import PostgresQueue
from ingestor.adapters.postgres.reconciliation import PostgresReconciliation
from ingestor.domain.bells import Bells
from ingestor.domain.drift import IndexRow
from ingestor.domain.intake import Intake, IntakeLimits
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile
from ingestor.domain.pipeline.contexts import Window
from ingestor.domain.pipeline.index import Attributes, IndexStage, StoredPassage, Written
from ingestor.domain.pipeline.parse import ParseStage
from ingestor.domain.pipeline.purge import Deleted, Doomed, PurgeStage
from ingestor.domain.pipeline.worker import Leases, Portion, Worker
from ingestor.domain.reconcile import Reconciler
from ingestor.domain.tasks import Claim, Stage

# Much longer than any example: leases end when the test says so.
LEASE_SECONDS = 3600.0
MAX_DELIVERIES = 100
WINDOW_TOKENS = 24
_WORD = re.compile(r"\S+")
_LIMITS = IntakeLimits(document_bytes=1 << 20, batch_entries=100, batch_bytes=1 << 20, memory_bytes=1 << 24)
STAGES = (Stage.PARSE, Stage.INDEX, Stage.PURGE)


class DirectParser:
    """A `Parser` that opens files in this very process."""

    async def check(self, source: SourceFile) -> str:
        return formats.check(source, DocumentLimits())

    async def parse(self, source: SourceFile) -> ParsedDocument:
        return formats.parse(source, DocumentLimits())

    async def languages(self, texts: Sequence[str]) -> Sequence[str]:
        return [detect_language(text) for text in texts]

    async def unpack(self, archive: SourceFile) -> AsyncIterator[SourceFile]:
        for file in members(archive):
            yield file


class DirectEmbedder:
    """What the ingestor needs of an embedder, over the index in memory: words for tokens, and a vector made of the text's hash."""

    def __init__(self, index: MemoryIndex, reach: Callable[[str], Awaitable[None]]) -> None:
        self._index = index
        self._reach = reach

    async def window(self, organisation_id: str) -> Window:
        return Window(WINDOW_TOKENS)

    async def token_starts(self, organisation_id: str, texts: Sequence[str]) -> list[Sequence[int]]:
        return [[match.start() for match in _WORD.finditer(text)] for text in texts]

    async def write(
        self, organisation_id: str, passages: Sequence[StoredPassage], attributes: Mapping[int, Attributes]
    ) -> AsyncGenerator[Written, None]:
        # One at a time, so that a failure finds some written and some not.
        for passage in passages:
            [messages] = passage_messages([passage], [attributes[passage.task_id]])
            [received] = convert.passages(messages)
            await self._index.upsert(organisation_id, [IndexedPassage(received, _vector(received.text), received.text)])
            await self._reach("embedder.before_acknowledging")
            yield Written(count=1, reused_count=0, rejected={}, model="direct")
            await self._reach("index.batch_acknowledged")

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        return set(await self._index.find_missing(organisation_id, passage_ids))

    async def delete(self, organisation_id: str, doomed: Sequence[Doomed]) -> Mapping[str, Deleted]:
        generations = {each.document_id: Generations(each.before_generation or None, tuple(each.kept)) for each in doomed}
        deleted = await self._index.delete_documents(organisation_id, generations)
        await self._reach("purge.vectors_deleted")
        return {document_id: Deleted(one.count, one.remaining) for document_id, one in deleted.items()}

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        held = await self._index.scan(organisation_id, after, limit)
        return [IndexRow(row.passage_id, row.document_id, row.generation, row.collection_id, row.fingerprint) for row in held]

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        deleted = await self._index.delete_passages(organisation_id, passage_ids)
        return Deleted(deleted.count, deleted.remaining)


class Pipeline:
    """Every part of ingestion, none of it running by itself."""

    def __init__(self, database: Database, index: MemoryIndex, reach: Callable[[str], Awaitable[None]]) -> None:
        embedder, parser, files = DirectEmbedder(index, reach), DirectParser(), MemoryStore()
        content = ObjectContent(files, database)
        purges = PostgresPurges(database)
        self.database = database
        self.index = index
        self.files = files
        self.queue = PostgresQueue(database, lease_seconds=LEASE_SECONDS, max_deliveries=MAX_DELIVERIES)
        self.collections = PostgresCollections(database)
        self.documents = PostgresDocuments(database)
        self.passages = PostgresPassages(database)
        self.intake = Intake(PostgresIntake(database), content, parser, _LIMITS)
        self.reconciler = Reconciler(PostgresReconciliation(database, grace_seconds=0), embedder)
        self._handlers: dict[Stage, Callable[[Claim], Awaitable[None]]] = {
            Stage.PARSE: ParseStage(PostgresParseStore(database), content, parser, embedder),
            Stage.INDEX: IndexStage(PostgresIndexStore(database), embedder),
            Stage.PURGE: PurgeStage(purges, embedder, content),
        }

    async def work(self, stage: Stage) -> bool:
        """One claim of a worker's, to its end; False when there was nothing to claim."""
        worker = Worker(
            stage,
            self._handlers[stage],
            Portion(max_tasks=2, max_weight=1 << 20),
            queue=self.queue,
            leases=Leases(self.queue, Bells(), lease_seconds=LEASE_SECONDS),
            bells=Bells(),
            poll_seconds=1.0,
            stall_seconds=LEASE_SECONDS,
        )
        claim = await worker._claim()
        if claim is not None:
            await worker._work(claim)
        return claim is not None

    async def drain(self) -> None:
        """Work until there is nothing to do, not waiting for the times at which failed work is due again."""
        while True:
            await self.execute("UPDATE library.task SET not_before = now() WHERE state = 'QUEUED'")
            if not any([await self.work(stage) for stage in STAGES]):
                return

    async def end_leases(self) -> None:
        """Let so much time go by that every lease has run out."""
        await self.execute("UPDATE library.task SET lease_until = now() - interval '1 second' WHERE lease_until > now()")
        await self.queue.reap()

    async def execute(self, statement: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement)


def opened(database_url: str) -> AbstractAsyncContextManager[Database]:
    """The database, with as many connections as suspended workers and their rivals need."""
    return open_database(database_url, max_connections=6)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _vector(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(len(text)).normal(size=4).astype(np.float32)
