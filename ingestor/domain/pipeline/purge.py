"""PURGE: what was deleted or replaced leaves every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from ingestor.domain.pipeline.concurrency import concurrently
from ingestor.domain.pipeline.patience import until_there
from ingestor.domain.tasks import Claim, Step, Task
from shared.errors import AppError, Status

RemoveFile: TypeAlias = Callable[[str, str], Awaitable[None]]
CONCURRENT_PURGES = 8
COUNTED_PASSAGES = 8192


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows that stood before, and those that a strong read still found afterwards."""

    count: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """What of a document has to go.

    Attributes:
        before_generation: generations before this one; 0: all of them, for the document is deleted.
        kept: but not these.
    """

    document_id: str
    before_generation: int
    kept: Sequence[int] = ()


class VectorRemover(Protocol):
    async def delete(self, organisation_id: str, doomed: Sequence[Doomed]) -> Mapping[str, Deleted]:
        """Remove documents' vectors; what became of each document."""
        ...

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        """Those that have no vector, by a strongly consistent read."""
        ...


class FileRemover(Protocol):
    async def remove(self, organisation_id: str, object_key: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        ...


class PurgeStore(Protocol):
    async def passage_ids(self, organisation_id: str, document_id: str, *, after: str, limit: int) -> list[str]:
        """A document's passages of every generation, in the order of their ids."""
        ...

    async def note(self, task: Task, token: str, *, vector_count: int) -> None:
        """Remember how many vectors stood before any was removed; what was noted earlier stays where it is more."""
        ...

    async def kept(self, task: Task) -> list[int]:
        """The generations of a living document that are seen or in work. One that is neither never comes to be again."""
        ...

    async def finish(
        self, organisation_id: str, task: Task, token: str, *, kept: Sequence[int], vector_count: int, remove_file: RemoveFile
    ) -> bool:
        """Remove the rows, and with ``remove_file`` the files that nobody else uses; count all of it in the receipt and end the task.

        One transaction, in which everything can be repeated. False when ``token`` does not hold the task any more.
        """
        ...

    async def remove_orphans(self, remove_file: RemoveFile) -> None:
        """Remove files of uploads that never came to an end."""
        ...


class PurgeStage:
    """Removes vectors, rows and files, in that order, and writes down what left."""

    def __init__(self, store: PurgeStore, vectors: VectorRemover, files: FileRemover) -> None:
        self._store = store
        self._vectors = vectors
        self._files = files

    async def __call__(self, claim: Claim) -> None:
        claim.enter(Step.PURGE)
        # One document is not told to the index twice at once: what stands of it could not be said of either.
        for tasks in _rounds(claim.held):
            doomed = await concurrently(partial(self._doomed, claim), tasks, at_most=CONCURRENT_PURGES)
            deleted = await until_there(claim, partial(self._vectors.delete, claim.organisation_id, doomed))
            whole = [(task, each) for task, each in zip(tasks, doomed, strict=True) if not deleted[task.document_id].remaining]
            await concurrently(partial(self._finish, claim, deleted), whole, at_most=CONCURRENT_PURGES)
            if len(whole) < len(tasks):
                raise AppError("VECTORS_REMAIN", Status.UNAVAILABLE, "The vector index still holds what it was told to remove.")

    async def _doomed(self, claim: Claim, task: Task) -> Doomed:
        if task.generation == 0:
            await self._store.note(task, claim.token, vector_count=await self._standing(claim, task))
            return Doomed(task.document_id, 0)
        return Doomed(task.document_id, task.generation, await self._store.kept(task))

    async def _finish(self, claim: Claim, deleted: Mapping[str, Deleted], purged: tuple[Task, Doomed]) -> None:
        task, doomed = purged
        finish = partial(self._store.finish, claim.organisation_id, task, claim.token, kept=doomed.kept)
        await finish(vector_count=deleted[task.document_id].count, remove_file=self._files.remove)
        claim.done([task.task_id])

    async def _standing(self, claim: Claim, task: Task) -> int:
        """How many of the document's passages have a vector. Counted first: who dies after the removal leaves nothing to count."""
        standing, last = 0, ""
        while ids := await self._store.passage_ids(claim.organisation_id, task.document_id, after=last, limit=COUNTED_PASSAGES):
            last = ids[-1]
            standing += len(ids) - len(await until_there(claim, partial(self._vectors.missing, claim.organisation_id, ids)))
        return standing


def _rounds(tasks: Sequence[Task]) -> list[list[Task]]:
    """``tasks`` in lists in which no document comes twice."""
    rounds: list[list[Task]] = []
    seen: Counter[str] = Counter()
    for task in tasks:
        place = seen[task.document_id]
        seen[task.document_id] += 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(task)
    return rounds
