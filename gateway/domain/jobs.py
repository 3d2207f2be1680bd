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


@dataclass(frozen=True, slots=True)
class Job:
    """Work on one or more documents.

    Attributes:
        kind: ``INGEST`` or ``PURGE``.
        stage: the earliest that any unfinished task is in; empty when all have ended.
    """

    job_id: str
    collection_id: str
    kind: str
    state: JobState
    stage: str
    total: int
    done: int
    failed: int
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

    async def list(self, page: PageRequest, collection: str) -> Listing[Job]: ...

    def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job now, after each change, and a last time when it has ended."""
        ...

    async def cancel(self, job_id: str) -> Job: ...

    async def retry(self, job_id: str) -> Job: ...
