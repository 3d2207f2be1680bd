from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from embedder.domain.concurrency import concurrently, in_order_ahead


async def counting(count: int, taken: list[int] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield number


async def test_responses_come_in_the_order_of_requests_although_later_ones_end_first() -> None:
    ends = [asyncio.Event() for _ in range(3)]
    ended: list[int] = []

    async def answer(number: int) -> int:
        if number < 2:
            await ends[number + 1].wait()
        ended.append(number)
        ends[number].set()
        return number

    async with asyncio.timeout(10):
        assert [response async for response in in_order_ahead(counting(3), answer, ahead=3)] == [0, 1, 2]
    assert ended == [2, 1, 0]


async def test_a_response_is_given_before_the_next_request_arrives() -> None:
    requests: asyncio.Queue[int] = asyncio.Queue()

    async def arriving() -> AsyncIterator[int]:
        while (number := await requests.get()) >= 0:
            yield number

    async def answer(number: int) -> int:
        return -number

    async with asyncio.timeout(10), aclosing(in_order_ahead(arriving(), answer, ahead=3)) as responses:
        for number in (5, 6):
            requests.put_nowait(number)
            assert await anext(responses) == -number
        requests.put_nowait(-1)
        with pytest.raises(StopAsyncIteration):
            await anext(responses)


async def test_no_more_requests_are_taken_in_than_may_be_ahead() -> None:
    taken: list[int] = []

    async def answer(number: int) -> int:
        return number

    async with aclosing(in_order_ahead(counting(50, taken), answer, ahead=3)) as responses:
        await anext(responses)
        for _ in range(20):
            await asyncio.sleep(0)
        assert taken == [0, 1, 2]


async def test_a_failed_request_raises_after_the_responses_before_it_and_cancels_those_behind() -> None:
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        if number == 1:
            raise ValueError(number)
        try:
            if number:
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    received = []
    with pytest.raises(ValueError, match="1"):
        async for response in in_order_ahead(counting(5), answer, ahead=3):
            received.append(response)  # noqa: PERF401  # what came before the error is the point
    assert received == [0]
    assert set(cancelled) <= {2, 3}


async def test_an_error_of_the_sender_is_raised() -> None:
    async def breaking() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError

    async def answer(number: int) -> int:
        return number

    async with aclosing(in_order_ahead(breaking(), answer, ahead=2)) as responses:
        assert await anext(responses) == 1
        with pytest.raises(ConnectionError):
            await anext(responses)


async def test_closing_the_responses_cancels_everything_begun() -> None:
    begun: list[asyncio.Task[object]] = []

    async def answer(number: int) -> int:
        task = asyncio.current_task()
        assert task
        begun.append(task)
        if number:
            await asyncio.get_running_loop().create_future()
        return number

    responses = in_order_ahead(counting(5), answer, ahead=3)
    await anext(responses)
    await asyncio.sleep(0)
    await responses.aclose()
    assert begun
    assert all(task.done() for task in begun)


async def test_of_two_at_once_the_error_of_one_cancels_the_other_and_is_raised_as_it_is() -> None:
    cancelled = asyncio.Event()

    async def fails() -> None:
        raise KeyError("first")

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    with pytest.raises(KeyError, match="first"):
        await concurrently(waits(), fails())
    assert cancelled.is_set()
