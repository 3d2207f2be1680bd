"""Uploads files, several at a time, and follows each until it is searchable or has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lectern_cli.files import SourceFile
from lectern_client import ApiError

if TYPE_CHECKING:
    from lectern_client import AsyncLectern
    from lectern_client.models import Job, Uploaded

UPLOADS_AT_ONCE = 4
_WATCHES_AT_ONCE = 4
_UNUSABLE_KEY = frozenset({401, 403})


class FileState(StrEnum):
    """What became of one file."""

    READY = "READY"
    UNCHANGED = "UNCHANGED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        name: its path within the folder that was named.
        reason: stable code of why it failed; ``message`` says the same in words.
        embedded: texts of it that were run through the embedding model.
    """

    name: str
    state: FileState
    reason: str = ""
    message: str = ""
    document_id: str = ""
    embedded: int = 0


class Progress(Protocol):
    """Told how far an ingest is."""

    def uploaded(self, source: SourceFile) -> None:
        """The server has taken a file, or refused it."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """A file is searchable, was already, or has failed."""
        ...


async def ensure_collection(client: AsyncLectern, name: str) -> bool:
    """Make the collection unless there is one of that name or id; whether it was made."""
    try:
        await client.collections.get(name)
    except ApiError as error:
        if error.status != 404:  # noqa: PLR2004  # HTTP's own number
            raise
    else:
        return False
    try:
        await client.collections.create(name)
    except ApiError as error:
        if error.status != 409:  # noqa: PLR2004
            raise
        return False  # somebody else was faster
    return True


async def ingest_files(client: AsyncLectern, collection: str, sources: Sequence[SourceFile], progress: Progress) -> list[Outcome]:
    """Upload ``sources`` and wait until each has ended; outcomes in their order.

    A file that the server refuses is an outcome like any other. Cancelling it stops uploads; what was uploaded goes on being indexed.

    Raises:
        LecternError: the server cannot be reached for too long, or does not accept the key.
    """
    outcomes: dict[str, Outcome] = {}
    todo = iter(sources)
    uploaded: asyncio.Queue[tuple[SourceFile, Uploaded] | None] = asyncio.Queue()

    def end(outcome: Outcome) -> None:
        outcomes[outcome.name] = outcome
        progress.ended(outcome)

    async def upload() -> None:
        for source in todo:
            taken = await _upload(client, collection, source)
            progress.uploaded(source)
            if isinstance(taken, Outcome):
                end(taken)
            else:
                await uploaded.put((source, taken))

    async def follow() -> None:
        while (item := await uploaded.get()) is not None:
            end(await _follow(client, *item))

    try:
        async with asyncio.TaskGroup() as group:
            uploads = [group.create_task(upload()) for _ in range(UPLOADS_AT_ONCE)]
            for _ in range(_WATCHES_AT_ONCE):
                group.create_task(follow())
            await asyncio.wait(uploads)
            for _ in range(_WATCHES_AT_ONCE):
                await uploaded.put(None)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the first stopped the others
    return [outcomes[source.external_id] for source in sources]


async def _upload(client: AsyncLectern, collection: str, source: SourceFile) -> Uploaded | Outcome:
    name = source.external_id.rpartition("/")[2]
    try:
        return await client.documents.upload(collection, source.path, name=name, external_id=source.external_id)
    except OSError as error:
        message = f"{source.path} cannot be read: {error.strerror}."
        return Outcome(source.external_id, FileState.FAILED, "FILE_UNREADABLE", message)
    except ApiError as error:
        return _refused(source, error)


def _refused(source: SourceFile, error: ApiError) -> Outcome:
    """The outcome of a file that the server refuses. A key that it refuses ends everything: no other file would fare better."""
    if error.status in _UNUSABLE_KEY:
        raise error
    return Outcome(source.external_id, FileState.FAILED, error.reason, error.message)


async def _follow(client: AsyncLectern, source: SourceFile, taken: Uploaded) -> Outcome:
    try:
        return await _ended(client, source, taken)
    except ApiError as error:
        return _refused(source, error)


async def _ended(client: AsyncLectern, source: SourceFile, taken: Uploaded) -> Outcome:
    name = source.external_id
    if taken.unchanged and taken.state == "READY":
        return Outcome(name, FileState.UNCHANGED, document_id=taken.id)
    job = taken.job if taken.job.ended else await client.jobs.wait(taken.job.id)
    document = taken if taken.unchanged and taken.job.ended else await client.documents.get(taken.id)
    if document.state == "READY":
        return Outcome(name, FileState.READY, document_id=document.id, embedded=job.embedded)
    reason, message = document.reason or document.state, document.message or f"Its job {job.id} ended {job.state}."
    return Outcome(name, FileState.FAILED, reason, message, document.id, job.embedded)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch; ``unchanged`` texts were known already."""

    job: Job
    unchanged: int


async def ingest_batch(client: AsyncLectern, collection: str, path: Path, progress: Callable[[Job], None]) -> BatchOutcome:
    """Upload a file of JSON lines as one job, and wait until it has ended.

    Raises:
        LecternError: the server refuses it, naming the line, or cannot be reached.
        OSError: the file cannot be read.
    """
    taken = await client.documents.create_batch(collection, path)
    last = taken.job
    progress(last)
    if not last.ended:
        async for now in client.jobs.watch(last.id):
            progress(now)
            last = now
    return BatchOutcome(last, taken.unchanged)
