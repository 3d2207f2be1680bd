"""Jobs: work that outlives the call that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from ingestor.domain.bells import Bells, wait
from ingestor.domain.tasks import Stage, Step
from ingestor.errors import job_not_cancellable

# A change is seen at the latest after this, should its notification be lost.
WATCH_SECONDS = 5.0
# Between two messages about one job: its numbers are counted from its tasks each time.
WATCH_PAUSE_SECONDS = 0.1


class JobKind(StrEnum):
    INGEST = "INGEST"
    PURGE = "PURGE"


class JobState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class TaskState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True, slots=True)
class TaskFailure:
    document_id: str
    document_name: str
    external_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class JobDocument:
    """What became of one document in a job; ``stage`` is the one that its task is or ended in."""

    task_id: int
    document_id: str
    document_name: str
    external_id: str
    state: TaskState
    stage: Stage
    reason: str
    message: str
    embedded_count: int
    reused_count: int
    start_time: datetime | None
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class StageCount:
    """Tasks of a job whose ``stage`` this is, by how they stand."""

    stage: Stage
    waiting: int
    running: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class StepTime:
    """What workers spent on a step of a job, and between when."""

    step: Step
    work_seconds: float
    begin_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class JobStep:
    """How far a job's documents are with a step; ``time`` is None before any worker ended some of it."""

    step: Step
    waiting: int
    running: int
    done: int
    failed: int
    time: StepTime | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job, with numbers counted from its tasks.

    Attributes:
        untouched_count: tasks that no worker has claimed yet.
        remaining_bytes: content of unfinished tasks, of each the share whose vectors are not written yet.
        worked_bytes: content that workers brought to an end, and the share of unfinished tasks that is written.
        stage: the earliest that an unfinished task is in.
        elapsed: since work on it began, or began again after a retry, by the database's clock.
    """

    job_id: str
    collection_id: str
    kind: JobKind
    create_time: datetime
    total_count: int
    done_count: int
    untouched_count: int
    remaining_bytes: float
    worked_bytes: float
    failed_count: int
    cancelled_count: int
    embedded_count: int
    reused_count: int
    passage_count: int
    stage: Stage | None
    elapsed: timedelta | None
    last_end_time: datetime | None
    failures: tuple[TaskFailure, ...]
    steps: tuple[JobStep, ...]

    @property
    def ended(self) -> bool:
        return self.done_count == self.total_count

    @property
    def state(self) -> JobState:
        if not self.ended:
            return JobState.QUEUED if self.untouched_count == self.total_count else JobState.RUNNING
        if self.cancelled_count:
            return JobState.CANCELLED
        return JobState.FAILED if self.failed_count else JobState.SUCCEEDED

    @property
    def end_time(self) -> datetime | None:
        """When it ended; None while it runs."""
        return (self.last_end_time or self.create_time) if self.ended else None

    @property
    def eta(self) -> timedelta | None:
        """Time to the end at the measured throughput; None while nothing is written yet, or nothing is left."""
        if self.ended or not self.worked_bytes or self.elapsed is None:
            return None
        return self.elapsed * (self.remaining_bytes / self.worked_bytes)


@dataclass(frozen=True, slots=True)
class JobPosition:
    """The sort keys of a job in the list."""

    create_time: datetime
    job_id: str


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None: any."""

    collection_id: str | None = None
    state: JobState | None = None
    kind: JobKind | None = None


class JobStore(Protocol):
    """Where jobs are kept. Methods that take a job id raise AppError JOB_NOT_FOUND."""

    async def get(self, organisation_id: str, job_id: str) -> Job: ...

    async def page(self, organisation_id: str, *, only: JobFilter, before: JobPosition | None, limit: int) -> list[Job]: ...

    async def documents(
        self, organisation_id: str, job_id: str, *, state: TaskState | None, after_task: int, limit: int
    ) -> list[JobDocument]: ...

    async def cancel(self, organisation_id: str, job_id: str) -> None:
        """End every task that has not ended; the workers that hold one notice at their next state change."""
        ...

    async def retry(self, organisation_id: str, job_id: str) -> None:
        """Queue failed, quarantined and cancelled tasks again whose content is still the document's newest."""
        ...


class Jobs:
    """Shows and steers jobs."""

    def __init__(self, store: JobStore, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    async def get(self, organisation_id: str, job_id: str) -> Job:
        return await self._store.get(organisation_id, job_id)

    async def page(self, organisation_id: str, *, only: JobFilter, before: JobPosition | None, limit: int) -> list[Job]:
        """Up to ``limit`` jobs, newest first, that are older than ``before``."""
        return await self._store.page(organisation_id, only=only, before=before, limit=limit)

    async def documents(
        self, organisation_id: str, job_id: str, *, state: TaskState | None, after_task: int, limit: int
    ) -> list[JobDocument]:
        """What became of up to ``limit`` documents of the job, in the order in which they came in, after the task ``after_task``."""
        return await self._store.documents(organisation_id, job_id, state=state, after_task=after_task, limit=limit)

    async def watch(self, organisation_id: str, job_id: str) -> AsyncIterator[Job]:
        """The job now, after each change, and a last time when it has ended."""
        sent: Job | None = None
        while True:
            bell = self._bells.listen(job_id)
            job = await self._store.get(organisation_id, job_id)
            if sent is None or _differs(job, sent):
                sent = job
                yield job
            if job.ended:
                return
            await wait(bell, seconds=WATCH_SECONDS)
            await asyncio.sleep(WATCH_PAUSE_SECONDS)

    async def cancel(self, organisation_id: str, job_id: str) -> Job:
        """Stop what has not been done yet; a job that has ended stays as it is.

        Raises:
            AppError: JOB_NOT_CANCELLABLE for a purge.
        """
        job = await self._store.get(organisation_id, job_id)
        if job.kind is JobKind.PURGE:
            raise job_not_cancellable()
        await self._store.cancel(organisation_id, job_id)
        return await self._store.get(organisation_id, job_id)

    async def retry(self, organisation_id: str, job_id: str) -> Job:
        await self._store.retry(organisation_id, job_id)
        return await self._store.get(organisation_id, job_id)


def steps_of(counts: Iterable[StageCount], times: Iterable[StepTime]) -> tuple[JobStep, ...]:
    """The steps that a job's documents take, in order. A document that is in a later stage is done with every step of earlier ones."""
    by_stage = {count.stage: count for count in counts}
    by_step = {time.step: time for time in times}
    order = list(Stage)
    steps = []
    for step in Step:
        here = by_stage.get(step.stage, StageCount(step.stage, 0, 0, 0, 0))
        past = (by_stage[stage] for stage in order[order.index(step.stage) + 1 :] if stage in by_stage)
        done = here.succeeded + sum(count.waiting + count.running + count.succeeded + count.failed for count in past)
        if step in by_step or here.waiting or here.running or here.failed:
            steps.append(JobStep(step, here.waiting, here.running, done, here.failed, by_step.get(step)))
    return tuple(steps)


def _differs(job: Job, sent: Job) -> bool:
    """Whether anything but the passing of time changed."""
    numbers = (
        "done_count",
        "untouched_count",
        "failed_count",
        "embedded_count",
        "reused_count",
        "passage_count",
        "stage",
        "cancelled_count",
    )
    return any(getattr(job, name) != getattr(sent, name) for name in numbers)
