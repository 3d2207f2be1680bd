"""FETCH: bytes from an address that a caller gave."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ingestor.domain.archives import ARCHIVE_TYPE, unpacked
from ingestor.domain.content import ContentStore, object_key
from ingestor.domain.incoming import DocumentHeader, Incoming
from ingestor.domain.intake import check
from ingestor.domain.parsing import Parser, SourceFile
from ingestor.domain.pipeline.concurrency import concurrently
from ingestor.domain.pipeline.patience import until_there
from ingestor.domain.tasks import Claim, Failure, Step, Task
from shared.errors import AppError, Status

# A source that does not answer is asked this often before the document fails.
FETCH_ATTEMPTS = 3
CONCURRENT_FETCHES = 4
FIRST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """What one task has to fetch: ``header.url``, as the document of the rest."""

    task: Task
    header: DocumentHeader


@dataclass(frozen=True, slots=True)
class Fetched:
    """An address's answer; ``media_type`` is empty when it did not say."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class FetchedContent:
    """Content that is durable now.

    Attributes:
        object_key: None for an archive, of which only the files are kept.
        members: the files of an archive, each of which is a document of its own; None for any other content.
    """

    task: Task
    content_sha256: str
    size_bytes: int
    object_key: str | None
    media_type: str
    type: str
    members: tuple[Incoming, ...] | None = None


class FetchFailed(Exception):  # noqa: N818  # an outcome of the work
    """The address gave nothing usable; ``passing`` says whether it may do so later."""

    def __init__(self, reason: str, message: str, *, passing: bool) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.passing = passing


class Fetcher(Protocol):
    async def fetch(self, url: str) -> Fetched:
        """The bytes behind ``url``. Raises FetchFailed."""
        ...


class FetchStore(Protocol):
    """What FETCH reads and writes. Writes take effect only for tasks that the claim's token still holds."""

    async def targets(self, claim: Claim) -> list[Target]: ...

    async def store_fetched(self, claim: Claim, content: FetchedContent) -> None:
        """Pass the task on, or end it when searches see this very content already, and take an archive's members in with its job.

        Raises:
            ContentGone: an object is no longer there.
        """
        ...

    async def fail(self, claim: Claim, failures: Sequence[Failure]) -> None: ...


class FetchStage:
    """Fetches the documents of a claim at once."""

    def __init__(self, store: FetchStore, fetcher: Fetcher, content: ContentStore, parser: Parser) -> None:
        self._store = store
        self._fetcher = fetcher
        self._content = content
        self._parser = parser

    async def __call__(self, claim: Claim) -> None:
        claim.enter(Step.FETCH)
        targets = await self._store.targets(claim)
        await concurrently(partial(self._take, claim), targets, at_most=CONCURRENT_FETCHES)

    async def _take(self, claim: Claim, target: Target) -> None:
        try:
            fetched = await self._fetch(target.header.url)
            media_type = target.header.declared_media_type or fetched.media_type
            source = SourceFile(target.header.name, fetched.content, media_type or None)
            kind = await until_there(claim, lambda: check(self._parser, source))
            members = await self._keep_members(claim, target.header, source) if kind == ARCHIVE_TYPE else None
        except FetchFailed as failed:
            await self._fail(claim, target, failed.reason, failed.message)
        except AppError as error:
            if error.status is not Status.INVALID_ARGUMENT:
                raise
            await self._fail(claim, target, error.reason, error.message)
        else:
            digest = await asyncio.to_thread(lambda: hashlib.sha256(fetched.content).hexdigest())
            if members is None:
                await until_there(claim, lambda: self._content.put(claim.organisation_id, digest, fetched.content))
            key = object_key(digest) if members is None else None
            content = FetchedContent(target.task, digest, len(fetched.content), key, media_type, kind, members)
            await self._store.store_fetched(claim, content)
        claim.done([target.task.task_id])

    async def _keep_members(self, claim: Claim, header: DocumentHeader, archive: SourceFile) -> tuple[Incoming, ...]:
        """Put the files of an archive into the object store; of those with the same name the last counts."""
        members: dict[str, Incoming] = {}
        async for member, content in unpacked(self._parser, archive, header):
            await until_there(claim, partial(self._content.put, claim.organisation_id, member.content_sha256, content))
            members[member.identity] = member
        return tuple(members.values())

    async def _fetch(self, url: str) -> Fetched:
        for attempt in range(FETCH_ATTEMPTS):
            try:
                return await self._fetcher.fetch(url)
            except FetchFailed as failed:
                if not failed.passing or attempt == FETCH_ATTEMPTS - 1:
                    raise
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError

    async def _fail(self, claim: Claim, target: Target, reason: str, message: str) -> None:
        await self._store.fail(claim, [Failure(target.task.task_id, reason, message)])
