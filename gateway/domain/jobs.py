"""Jobs, as the gateway knows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.listing import Listing, PageRequest


class JobState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class JobFailure:
    document_id: str
    document_name: str
    external_id: str
    reason: str
    message: str


class JobKind(StrEnum):
    INGEST = "INGEST"
    PURGE = "PURGE"


class JobDocumentState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True, slots=True)
class JobStep:
    """How many of a job's documents wait for a step, are in it, past it or failed in it, and what it took so far."""

    step: str
    waiting: int
    running: int
    done: int
    failed: int
    work_seconds: float
    begin_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class JobDocument:
    """What became of one document in a job."""

    document_id: str
    document_name: str
    external_id: str
    state: JobDocumentState
    stage: str
    reason: str
    message: str
    embedded: int
    reused: int
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; ``collection`` is empty and the others None for any."""

    collection: str = ""
    state: JobState | None = None
    kind: JobKind | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work on one or more documents.

    Attributes:
        stage: the earliest that any unfinished task is in; empty when all have ended.
    """

    job_id: str
    collection_id: str
    kind: JobKind
    state: JobState
    stage: str
    steps: Sequence[JobStep]
    total: int
    done: int
    failed: int
    cancelled: int
    embedded: int
    reused: int
    passages: int
    eta_seconds: float | None
    failures: Sequence[JobFailure]
    create_time: datetime | None
    end_time: datetime | None


class Jobs(Protocol):
    """The jobs of the current caller's organisation."""

    async def get(self, job_id: str) -> Job: ...

    async def list(self, page: PageRequest, only: JobFilter) -> Listing[Job]: ...

    async def documents(self, job_id: str, page: PageRequest, state: JobDocumentState | None) -> Listing[JobDocument]:
        """What became of the job's documents, in the order in which they came in."""
        ...

    def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job now, after each change, and a last time when it has ended."""
        ...

    async def cancel(self, job_id: str) -> Job: ...

    async def retry(self, job_id: str) -> Job: ...
