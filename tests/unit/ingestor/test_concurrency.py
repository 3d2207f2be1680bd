"""Several things at once, and loops that go on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from ingestor.domain import supervision
from ingestor.domain.pipeline.concurrency import as_they_end, concurrently


async def test_results_come_in_the_order_of_their_items() -> None:
    async def late_first(number: int) -> int:
        for _ in range(5 - number):
            await asyncio.sleep(0)
        return number

    assert await concurrently(late_first, range(5), at_most=5) == [0, 1, 2, 3, 4]
    assert await concurrently(late_first, [], at_most=5) == []


async def test_no_more_than_allowed_are_in_work_at_once() -> None:
    active, most = 0, 0

    async def count(_: int) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0)
        active -= 1

    await concurrently(count, range(20), at_most=3)
    assert most == 3


async def test_the_first_error_is_raised_as_it_is_and_ends_the_rest() -> None:
    ended: list[int] = []

    async def fail_at_two(number: int) -> None:
        try:
            if number == 2:
                raise ValueError("two")
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    with pytest.raises(ValueError, match="two"):
        await concurrently(fail_at_two, range(4), at_most=4)
    assert sorted(ended) == [0, 1, 2, 3]


async def test_what_has_ended_is_there_before_what_is_slow() -> None:
    released = asyncio.Event()

    async def slow_at_two(number: int) -> int:
        if number == 2:
            await released.wait()
        return number

    found: list[int] = []
    async with aclosing(as_they_end(slow_at_two, range(40), at_most=3)) as ended:
        async for numbers in ended:
            found += numbers
            if len(found) == 39:
                released.set()
    assert sorted(found) == list(range(40))
    assert found[-1] == 2


async def test_an_error_or_a_reader_that_leaves_ends_the_rest() -> None:
    ended: list[int] = []

    async def fail_at_two(number: int) -> int:
        try:
            if number == 2:
                raise ValueError("two")
            if number > 0:
                await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    with pytest.raises(ValueError, match="two"):
        async for _ in as_they_end(fail_at_two, range(4), at_most=4):
            pass
    assert sorted(ended) == [0, 1, 2, 3]
    ended.clear()
    async with aclosing(as_they_end(fail_at_two, [0, 1], at_most=2)) as reading:
        assert await anext(reading) == [0]
    assert ended == [0, 1]


async def test_a_loop_that_fails_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_SECONDS", 0)
    runs = 0
    third = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            third.set()
            await asyncio.Event().wait()
        raise RuntimeError("broken")

    running = asyncio.create_task(supervision.supervise("loop", run))
    await asyncio.wait_for(third.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
