"""How long a worker waits for a part that refuses it."""

from __future__ import annotations

import asyncio

import pytest

from ingestor.domain.pipeline.patience import Patience
from ingestor.domain.tasks import Claim, Task
from shared.errors import AppError, invalid_argument, too_busy


@pytest.fixture
def patience() -> Patience:
    return Patience(Claim("token", "acme", [Task(1, None, "d1", 1, 1)], lease_seconds=60))


async def seconds_paused(patience: Patience, error: AppError) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await patience.pause(error)
    return loop.time() - began


async def test_a_worker_comes_back_no_sooner_than_it_was_asked_to(patience: Patience) -> None:
    assert await seconds_paused(patience, too_busy("embedder", retry_after_seconds=0.3)) >= 0.3


async def test_pauses_grow_with_each_refusal_in_a_row_until_there_is_progress(patience: Patience) -> None:
    busy = too_busy("embedder", retry_after_seconds=0.0)
    first, _, third = [await seconds_paused(patience, busy) for _ in range(3)]
    patience.reset()
    assert third > 1.5 * await seconds_paused(patience, busy)
    assert first < third


async def test_what_would_end_the_same_way_again_is_not_waited_for(patience: Patience) -> None:
    with pytest.raises(AppError, match="BAD"):
        await patience.pause(invalid_argument("BAD", "Never."))
