"""Tasks: the steps of one document's way, leased to workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

# The bell that rings when tasks were ended which a worker may hold.
TAKEN_AWAY = "TAKEN_AWAY"


class Stage(StrEnum):
    """The step that a task is in, in the order of a document's way."""

    FETCH = "FETCH"
    PARSE = "PARSE"
    INDEX = "INDEX"
    PUBLISH = "PUBLISH"
    PURGE = "PURGE"


class Step(StrEnum):
    """What is done in a stage, in the order of a document's way; a job's times are told by step."""

    FETCH = "FETCH"
    PARSE = "PARSE"
    CHUNK = "CHUNK"
    EMBED = "EMBED"
    VERIFY = "VERIFY"
    PUBLISH = "PUBLISH"
    PURGE = "PURGE"

    @property
    def stage(self) -> Stage:
        """The stage that it is part of."""
        return _STAGES[self]


_STAGES = {
    Step.FETCH: Stage.FETCH,
    Step.PARSE: Stage.PARSE,
    Step.CHUNK: Stage.PARSE,
    Step.EMBED: Stage.INDEX,
    Step.VERIFY: Stage.PUBLISH,
    Step.PUBLISH: Stage.PUBLISH,
    Step.PURGE: Stage.PURGE,
}


@dataclass(frozen=True, slots=True)
class Task:
    """A task in work.

    Attributes:
        job_id: None for upkeep that nobody asked for.
        deliveries: how often it was given to a worker in this stage without coming to an end, this time included.
    """

    task_id: int
    job_id: str | None
    document_id: str
    generation: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task ends without success."""

    task_id: int
    reason: str
    message: str


class Claim:
    """Tasks of one organisation and stage that one worker holds under one lease.

    The token fences every state change in the store; `holds` is this side's view of it, which ends with the lease at the latest.
    """

    def __init__(
        self,
        token: str,
        organisation_id: str,
        tasks: Sequence[Task],
        *,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = token
        self.organisation_id = organisation_id
        self.tasks = tuple(tasks)
        self._held = {task.task_id for task in tasks}
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._ends_at = clock() + lease_seconds
        self._progressed_at = clock()
        self._step: tuple[Step, float] | None = None
        self._spent: dict[Step, float] = {}

    @property
    def held(self) -> tuple[Task, ...]:
        """The tasks that are still this claim's to work on."""
        return tuple(task for task in self.tasks if self.holds(task))

    def holds(self, task: Task) -> bool:
        return task.task_id in self._held and self._clock() < self._ends_at

    def renewed(self, task_ids: Iterable[int], *, asked_at: float) -> None:
        """The store confirmed, when asked at ``asked_at`` (this claim's clock), that these and no others are still held."""
        self._held &= set(task_ids)
        self._ends_at = asked_at + self._lease_seconds

    def done(self, task_ids: Iterable[int]) -> None:
        """These have ended or gone on to their next stage."""
        self._held -= set(task_ids)
        self.progressed()

    def progressed(self) -> None:
        """The work went on, or waits for another part, which is not its fault."""
        self._progressed_at = self._clock()

    @property
    def still_seconds(self) -> float:
        """How long ago the work last progressed."""
        return self._clock() - self._progressed_at

    def enter(self, step: Step) -> None:
        """From now on time goes into ``step``."""
        self._settle()
        self._step = (step, self._clock())
        self.progressed()

    def spent(self) -> Mapping[Step, float]:
        """Seconds that went into each step since this was last asked."""
        self._settle()
        spent, self._spent = self._spent, {}
        return spent

    def _settle(self) -> None:
        if self._step is not None:
            step, since = self._step
            now = self._clock()
            self._spent[step] = self._spent.get(step, 0.0) + now - since
            self._step = (step, now)


class TaskQueue(Protocol):
    """The lease table. Its clock is the store's."""

    async def claim(self, stage: Stage, *, max_tasks: int, max_weight: int, express: bool) -> Claim | None:
        """Lease tasks of the organisation that has the fewest in this stage; None when there is nothing to do.

        A task in its last delivery is claimed alone, so that one that takes its worker down takes no others with it.

        Args:
            stage: what the worker does.
            max_tasks: most tasks to take.
            max_weight: what their weights may add up to; one task is always taken.
            express: only from an organisation that has nothing of this stage in work and no more than ``max_tasks`` waiting. A worker
                that does nothing else is soon free for whoever comes with little.
        """
        ...

    async def renew(self, tokens: Sequence[str]) -> Mapping[str, set[int]]:
        """Extend leases; the ids of the tasks that each token still holds."""
        ...

    async def release(self, token: str, *, failure: str = "", delay_seconds: float = 0.0) -> None:
        """Give back what the token still holds, to be delivered again after ``delay_seconds``.

        Without ``failure`` (a class of error) this delivery does not count. It counts for at most `max_deliveries`; then the task is
        quarantined.
        """
        ...

    async def record(self, claim: Claim) -> None:
        """Add what was spent on ``claim`` to the steps of its jobs."""
        ...

    async def reap(self) -> None:
        """Queue tasks again whose lease has ended, and quarantine those that were delivered too often."""
        ...
