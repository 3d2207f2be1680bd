"""Which workers run, how much each claims at once, and what keeps them going."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

from ingestor.domain.bells import Bells
from ingestor.domain.pipeline.worker import Leases, Portion, Worker
from ingestor.domain.supervision import end, every, supervise
from ingestor.domain.tasks import Claim, Stage, TaskQueue
from ingestor.settings import MIB, Queue

Handler: TypeAlias = Callable[[Claim], Awaitable[None]]
Loops: TypeAlias = dict[str, Callable[[], Awaitable[None]]]

# Many small documents share a stream to the embedder; one large one fills a claim alone.
PORTIONS = {
    Stage.FETCH: Portion(max_tasks=4, max_weight=4),
    Stage.PARSE: Portion(max_tasks=256, max_weight=4 * MIB),
    Stage.INDEX: Portion(max_tasks=256, max_weight=1024),
    Stage.PURGE: Portion(max_tasks=64, max_weight=64),
}
EXPRESS = Portion(max_tasks=32, max_weight=4 * MIB, express=True)
# Multiples of the golden ratio spread their fractions as evenly as any.
_GOLDEN_RATIO = (1 + math.sqrt(5)) / 2


def portions(stage: Stage, workers: int) -> list[Portion]:
    """What each worker of a stage claims, between half and all of `PORTIONS`: different amounts, so that workers do not end together.

    When they do, nothing is at the model while what they have indexed is verified and published.
    """
    whole = PORTIONS[stage]
    shares = [1 - number * _GOLDEN_RATIO % 1 / 2 for number in range(workers)]
    return [Portion(max(1, round(whole.max_tasks * share)), max(1, round(whole.max_weight * share))) for share in shares]


def worker_loops(queue: TaskQueue, handlers: Mapping[Stage, Handler], bells: Bells, *, workers: int, options: Queue) -> Loops:
    """``workers`` and one express for each stage, and what keeps their leases and takes back those of the dead."""
    leases = Leases(queue, bells, lease_seconds=options.lease_seconds)
    loops: Loops = {"leases": leases.run, "reaper": partial(every, options.lease_seconds / 4, queue.reap)}
    for stage, handle in handlers.items():
        for number, portion in enumerate([EXPRESS, *portions(stage, workers)]):
            worker = Worker(
                stage,
                handle,
                portion,
                queue=queue,
                leases=leases,
                bells=bells,
                poll_seconds=options.poll_seconds,
                stall_seconds=options.stall_seconds,
            )
            loops[f"{stage.lower()}-{number}"] = worker.run
    return loops


@asynccontextmanager
async def running(loops: Loops) -> AsyncIterator[None]:
    """Run every loop, supervised, for as long as the context is open."""
    tasks = [asyncio.create_task(supervise(name, run), name=name) for name, run in loops.items()]
    try:
        yield
    finally:
        await end(tasks)
