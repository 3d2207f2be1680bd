"""INDEX and PUBLISH: passages to vectors, and the one statement that makes them visible."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from ingestor.domain.metadata import Metadata
from ingestor.domain.pipeline.patience import ClaimLost, Patience, until_there
from ingestor.domain.tasks import Claim, Failure, Step
from shared.errors import AppError, Status

log = structlog.get_logger()

# Passages that are read, embedded and accounted for together.
PAGE_PASSAGES = 1024
VERIFY_PASSAGES = 8192
VERIFY_ATTEMPTS = 3
# The index's columns are no place for prose.
MAX_ATTRIBUTE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the index keeps beside each passage of a document, for filters.

    What the owner says in the metadata counts before what the content says.
    """

    collection_id: str
    type: str
    content_author: str
    content_language: str
    create_time: datetime
    update_time: datetime
    metadata: Metadata

    @property
    def author(self) -> str:
        return self._said("author", self.content_author)

    @property
    def language(self) -> str:
        return self._said("language", self.content_language)

    @property
    def outdated(self) -> bool:
        return self.metadata.get("outdated") is True

    def _said(self, key: str, content: str) -> str:
        value = self.metadata.get(key)
        return (value if isinstance(value, str) and value else content)[:MAX_ATTRIBUTE_CHARS]


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A passage to index.

    Attributes:
        take_vector_from: a passage of the visible generation with the same context and text; None when there is none.
        fingerprint: equal where text, context and attributes are.
    """

    task_id: int
    passage_id: str
    document_id: str
    generation: int
    ordinal: int
    text: str
    context: str
    take_vector_from: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far a claim's passages have been read."""

    task_id: int = 0
    ordinal: int = -1


@dataclass(frozen=True, slots=True)
class Written:
    """The index's answer to the next ``count`` of the passages sent.

    Attributes:
        reused_count: how many vectors were taken over.
        rejected: passage id → reason, for those that the model could not embed.
        model: whose vectors they are.
    """

    count: int
    reused_count: int
    rejected: Mapping[str, str]
    model: str


@dataclass(slots=True)
class Progress:
    """What was written since the last account, by task."""

    embedded: Counter[int] = field(default_factory=Counter)
    reused: Counter[int] = field(default_factory=Counter)
    rejected: dict[int, Failure] = field(default_factory=dict)
    model: str = ""

    def add(self, passages: Sequence[StoredPassage], written: Written) -> None:
        """Account for an answer. It says how many vectors were taken over, not which: those that were offered come first."""
        left = written.reused_count
        for passage in passages:
            if passage.passage_id in written.rejected:
                self.rejected[passage.task_id] = _rejection(passage, written.rejected[passage.passage_id])
            elif passage.take_vector_from and left:
                left -= 1
                self.reused[passage.task_id] += 1
            else:
                self.embedded[passage.task_id] += 1
        self.model = written.model


def _held(claim: Claim, passages: Sequence[StoredPassage]) -> list[StoredPassage]:
    """Those of ``passages`` whose tasks are still the claim's: what was deleted or cancelled meanwhile is not written any more."""
    held = {task.task_id for task in claim.held}
    return [passage for passage in passages if passage.task_id in held]


def _rejection(passage: StoredPassage, reason: str) -> Failure:
    message = f"The embedding model could not embed passage {passage.ordinal + 1} of the document. Change its text, or leave it out."
    return Failure(passage.task_id, reason, message)


class PassageIndex(Protocol):
    """The vector index. Raises AppErrors of the embedder."""

    def write(
        self, organisation_id: str, passages: Sequence[StoredPassage], attributes: Mapping[int, Attributes]
    ) -> AsyncGenerator[Written, None]:
        """Embed and write ``passages``, answering for them in order; what was answered for is durable. Attributes are by task."""
        ...

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        """Those that the index does not hold, by a strongly consistent read."""
        ...


class IndexStore(Protocol):
    """What INDEX reads and writes; everything is limited to tasks that the claim's token still holds."""

    async def begin_indexing(self, claim: Claim) -> Mapping[int, Attributes]:
        """The attributes by task, as of now; which version of them is remembered with each generation."""
        ...

    async def passages(self, claim: Claim, *, after: Position, limit: int) -> list[StoredPassage]: ...

    async def passage_ids(self, claim: Claim, *, after: Position, limit: int) -> list[tuple[Position, str]]: ...

    async def account(self, claim: Claim, progress: Progress) -> None: ...

    async def begin_publishing(self, claim: Claim) -> None: ...

    async def publish(self, claim: Claim) -> None:
        """The commit point: the claim's generations become visible, and the purge of what they replace is queued."""
        ...

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None: ...


class IndexStage:
    """Embeds the passages of a claim's documents as one stream, verifies that they are there, and makes them visible together."""

    def __init__(self, store: IndexStore, index: PassageIndex) -> None:
        self._store = store
        self._index = index

    async def __call__(self, claim: Claim) -> None:
        claim.enter(Step.EMBED)
        attributes = await self._store.begin_indexing(claim)
        resumed = any(task.deliveries > 1 for task in claim.tasks)
        await self._write_pages(claim, attributes, only=await self._missing(claim) if resumed else None)
        claim.enter(Step.VERIFY)
        await self._store.begin_publishing(claim)
        await self._verify(claim, attributes)
        claim.enter(Step.PUBLISH)
        await self._store.publish(claim)
        claim.done(task.task_id for task in claim.tasks)

    async def _write_pages(self, claim: Claim, attributes: Mapping[int, Attributes], *, only: AbstractSet[str] | None) -> None:
        position = Position()
        while page := await self._store.passages(claim, after=position, limit=PAGE_PASSAGES):
            position = Position(page[-1].task_id, page[-1].ordinal)
            await self._write(claim, [passage for passage in page if only is None or passage.passage_id in only], attributes)

    async def _write(self, claim: Claim, passages: Sequence[StoredPassage], attributes: Mapping[int, Attributes]) -> None:
        patience = Patience(claim)
        progress = Progress()
        pending = _held(claim, passages)
        while pending:
            try:
                async with aclosing(self._index.write(claim.organisation_id, pending, attributes)) as answers:
                    async for written in answers:
                        progress.add(pending[: written.count], written)
                        pending = pending[written.count :]
                        patience.reset()
                        if len(_held(claim, pending)) < len(pending):
                            break
            except AppError as error:
                await patience.pause(error)
            pending = _held(claim, pending)
        if not claim.held:
            raise ClaimLost
        await self._store.account(claim, progress)
        if progress.rejected:
            await self._store.fail(claim, list(progress.rejected.values()))
            claim.done(progress.rejected)

    async def _verify(self, claim: Claim, attributes: Mapping[int, Attributes]) -> None:
        """Return when a strong read finds every passage; what is missing is written again.

        Raises:
            AppError: VECTORS_LOST when the index acknowledges rows and then does not have them, again and again.
        """
        for _ in range(VERIFY_ATTEMPTS):
            missing = await self._missing(claim)
            if not missing:
                return
            log.warning("vectors_missing", count=len(missing))
            await self._write_pages(claim, attributes, only=missing)
        raise AppError("VECTORS_LOST", Status.DATA_LOSS, "The vector index acknowledged passages and then did not have them.")

    async def _missing(self, claim: Claim) -> set[str]:
        missing: set[str] = set()
        position = Position()
        while page := await self._store.passage_ids(claim, after=position, limit=VERIFY_PASSAGES):
            position = page[-1][0]
            ids = [passage_id for _, passage_id in page]
            missing |= await until_there(claim, partial(self._index.missing, claim.organisation_id, ids))
        return missing
