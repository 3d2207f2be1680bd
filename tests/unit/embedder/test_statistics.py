from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from embedder.adapters.memory_index import MemoryIndex
from embedder.domain.statistics import StatisticsCache
from embedder.errors import index_unavailable
from shared.errors import AppError

WORD = ("pump",)


class CountedIndex(MemoryIndex):
    """An index whose sample is chosen by the test."""

    def __init__(self, *samples: Sequence[str] | Exception) -> None:
        super().__init__()
        self.samples = list(samples)

    async def sample_terms(self, organisation_id: str, count: int) -> list[str]:
        sample = self.samples.pop(0)
        if isinstance(sample, Exception):
            raise sample
        return list(sample)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    """Let background tasks run to their end."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await task


async def test_an_organisation_is_sampled_once_and_what_is_written_afterwards_is_counted() -> None:
    cache = StatisticsCache(CountedIndex(["pump", "valv"]))
    before = (await cache.get("a")).weight(WORD)
    cache.add("a", ["pump", "pump valv"])
    assert (await cache.get("a")).weight(WORD) < before


async def test_searches_that_begin_together_share_one_sample() -> None:
    cache = StatisticsCache(CountedIndex(["pump"]))
    first, second = await asyncio.gather(cache.get("a"), cache.get("a"))
    assert first is second


async def test_a_search_that_leaves_does_not_take_the_sample_from_others() -> None:
    cache = StatisticsCache(CountedIndex(["pump"]))
    leaves, stays = asyncio.create_task(cache.get("a")), asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    leaves.cancel()
    assert (await stays).mean_length == 1


async def test_a_first_sample_that_fails_is_tried_again_by_the_next_search() -> None:
    cache = StatisticsCache(CountedIndex(index_unavailable(), ["pump"]))
    with pytest.raises(AppError):
        await cache.get("a")
    assert (await cache.get("a")).mean_length == 1


async def test_what_is_written_before_the_first_search_is_counted_once() -> None:
    cache = StatisticsCache(CountedIndex(["pump"]))
    cache.add("a", ["pump"])
    assert (await cache.get("a")).mean_length == 1
    alone = (await cache.get("a")).weight(WORD)
    cache.add("a", ["pump"])
    assert (await cache.get("a")).weight(WORD) < alone


async def test_old_statistics_answer_while_new_ones_are_sampled() -> None:
    clock = Clock()
    cache = StatisticsCache(CountedIndex(["pump"], ["valv"] * 50), clock)
    old = await cache.get("a")
    clock.now = 10_000
    assert await cache.get("a") is old
    await settle()
    assert (await cache.get("a")).weight(WORD) > old.weight(WORD)


async def test_a_store_that_is_down_leaves_the_old_statistics() -> None:
    clock = Clock()
    cache = StatisticsCache(CountedIndex(["pump"], index_unavailable()), clock)
    old = await cache.get("a")
    clock.now = 10_000
    await cache.get("a")
    await settle()
    assert await cache.get("a") is old


async def test_organisations_have_statistics_of_their_own() -> None:
    cache = StatisticsCache(CountedIndex(["pump"] * 9 + ["valv"], ["valv"] * 9 + ["pump"]))
    assert (await cache.get("a")).weight(WORD) < (await cache.get("b")).weight(WORD)
