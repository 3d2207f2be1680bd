"""The log of an answer's events, for readers that come and go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from gateway.domain.chats.answer_log import AnswerLog


async def read(log: AnswerLog[str], after: int = 0) -> list[tuple[int, str]]:
    return [event async for event in log.read(after)]


async def test_readers_that_come_at_any_time_get_the_same_events_in_order() -> None:
    log: AnswerLog[str] = AnswerLog(lambda: None)
    readers = []
    for number in range(20):
        readers.append(asyncio.create_task(read(log)))
        await asyncio.sleep(0)  # lets the reader come
        log.append(f"event {number}")
    log.end("last")
    whole = [*((number + 1, f"event {number}") for number in range(20)), (21, "last")]
    assert await asyncio.gather(*readers, read(log)) == [whole] * 21


async def test_a_reader_that_comes_back_gets_what_it_missed_and_always_the_last() -> None:
    log: AnswerLog[str] = AnswerLog(lambda: None)
    for text in ("a", "b"):
        log.append(text)
    log.end("last")
    assert await read(log, 1) == [(2, "b"), (3, "last")]
    assert await read(log, 3) == await read(log, 99) == [(3, "last")]


async def test_nothing_is_added_after_the_end() -> None:
    log: AnswerLog[str] = AnswerLog(lambda: None)
    log.end("last")
    log.append("late")
    log.end("later")
    assert await read(log) == [(1, "last")]


async def test_only_the_last_reader_s_leaving_before_the_end_is_told() -> None:
    told: list[bool] = []
    log: AnswerLog[str] = AnswerLog(lambda: told.append(log.has_readers))
    log.append("a")
    async with aclosing(log.read()) as staying:
        await anext(staying)
        async with aclosing(log.read()) as leaving:
            await anext(leaving)
        assert told == []
    assert told == [False]
    log.end("last")
    await read(log)
    assert told == [False]
