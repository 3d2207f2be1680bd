"""Leases, as the worker that holds them sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from ingestor.domain.bells import Bells, wait
from ingestor.domain.pipeline.patience import ClaimLost, until_there
from ingestor.domain.pipeline.worker import Leases
from ingestor.domain.tasks import TAKEN_AWAY, Claim, Stage, Step, Task
from shared.errors import AppError, Status, invalid_argument, unavailable

TASKS = [Task(number, None, f"d{number}", 1, 1) for number in range(3)]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def claim(clock: Clock) -> Claim:
    return Claim("token", "acme", TASKS, lease_seconds=10, clock=clock)


def test_a_claim_holds_its_tasks_until_its_lease_ends(claim: Claim, clock: Clock) -> None:
    clock.now = 9.9
    assert claim.held == tuple(TASKS)
    clock.now = 10
    assert not claim.held


def test_a_renewal_counts_from_when_it_was_asked_for(claim: Claim, clock: Clock) -> None:
    clock.now = 9
    claim.renewed([0, 1, 2], asked_at=5)
    clock.now = 14.9
    assert len(claim.held) == 3
    clock.now = 15
    assert not claim.held


def test_what_a_renewal_does_not_confirm_is_lost_for_good(claim: Claim) -> None:
    claim.renewed([0, 2], asked_at=0)
    claim.renewed([0, 1, 2], asked_at=0)
    assert [task.task_id for task in claim.held] == [0, 2]


def test_what_is_done_is_no_longer_held(claim: Claim) -> None:
    claim.done([1])
    assert [task.task_id for task in claim.held] == [0, 2]


async def test_a_passing_failure_is_waited_out(claim: Claim) -> None:
    failures = [unavailable("embedder", retry_after_seconds=0.001), AppError("BUSY", Status.RESOURCE_EXHAUSTED, "busy")]

    async def call() -> str:
        if failures:
            raise failures.pop()
        return "there"

    assert await until_there(claim, call) == "there"


async def test_a_failure_that_will_not_pass_is_raised_at_once(claim: Claim) -> None:
    async def call() -> None:
        raise invalid_argument("WRONG", "wrong")

    with pytest.raises(AppError, match="WRONG"):
        await until_there(claim, call)


async def test_nobody_waits_for_a_claim_that_is_lost(claim: Claim) -> None:
    async def call() -> None:
        claim.renewed([], asked_at=0)
        raise unavailable("embedder")

    with pytest.raises(ClaimLost):
        await until_there(claim, call)


class Registry:
    """The part of a queue that renews, which has lost task 1."""

    def __init__(self) -> None:
        self.renewed = asyncio.Event()
        self.failures = 1
        self.held = {0, 2}

    async def renew(self, tokens: Sequence[str]) -> Mapping[str, set[int]]:
        if self.failures:
            self.failures -= 1
            raise unavailable("database")
        self.renewed.set()
        return dict.fromkeys(tokens, self.held)

    async def claim(self, stage: Stage, *, max_tasks: int, max_weight: int, express: bool) -> Claim | None:
        raise NotImplementedError

    async def release(self, token: str, *, failure: str = "", delay_seconds: float = 0.0) -> None:
        raise NotImplementedError

    async def record(self, claim: Claim) -> None:
        raise NotImplementedError

    async def reap(self) -> None:
        raise NotImplementedError


async def test_leases_are_renewed_while_work_goes_on_also_after_the_database_was_away() -> None:
    registry = Registry()
    claim = Claim("token", "acme", TASKS, lease_seconds=0.2)
    leases = Leases(registry, Bells(), lease_seconds=0.2)
    running = asyncio.create_task(leases.run())
    stopped = asyncio.Event()
    with leases.keeping(claim, stopped.set):
        await asyncio.wait_for(registry.renewed.wait(), 5)
        await asyncio.sleep(0)
        assert [task.task_id for task in claim.held] == [0, 2]
    assert not stopped.is_set()
    running.cancel()


async def test_work_is_stopped_as_soon_as_all_of_it_was_taken_away() -> None:
    registry, bells = Registry(), Bells()
    registry.failures, registry.held = 0, set()
    claim = Claim("token", "acme", TASKS, lease_seconds=3600)
    leases = Leases(registry, bells, lease_seconds=3600)
    running = asyncio.create_task(leases.run())
    await asyncio.sleep(0)  # it listens now
    stopped = asyncio.Event()
    with leases.keeping(claim, stopped.set):
        bells.ring(TAKEN_AWAY)
        await asyncio.wait_for(stopped.wait(), 5)
    assert claim.held == ()
    running.cancel()


def test_a_claim_knows_what_was_spent_on_each_step(clock: Clock) -> None:
    claim = Claim("token", "acme", TASKS, lease_seconds=10, clock=clock)
    claim.enter(Step.PARSE)
    clock.now += 2
    claim.enter(Step.CHUNK)
    clock.now += 1
    assert claim.spent() == {Step.PARSE: 2, Step.CHUNK: 1}
    clock.now += 4
    assert claim.spent() == {Step.CHUNK: 4}
    assert claim.spent() == {Step.CHUNK: 0}


async def test_a_ring_between_listening_and_waiting_is_not_missed() -> None:
    bells = Bells()
    bell = bells.listen("a")
    bells.ring("a")
    bells.ring("b")
    await asyncio.wait_for(wait(bell, seconds=60), 1)
    again = bells.listen("a")
    assert not again.is_set()
    bells.ring_all()
    assert again.is_set()


async def test_a_wait_for_a_bell_that_nobody_rings_ends() -> None:
    bell = Bells().listen("a")
    await asyncio.wait_for(wait(bell, seconds=0.01), 5)
    assert not bell.is_set()


async def test_a_claim_is_still_until_its_work_goes_on_or_waits_for_another_part(claim: Claim, clock: Clock) -> None:
    refusals = [unavailable("embedder")]

    async def ask() -> None:
        clock.now += 3
        assert claim.still_seconds == 3  # a refusal counted as no time
        if refusals:
            raise refusals.pop()

    clock.now = 4
    assert claim.still_seconds == 4
    claim.enter(Step.PARSE)
    await until_there(claim, ask)
    assert claim.still_seconds == 0
    clock.now += 5
    claim.done([0])
    assert claim.still_seconds == 0
