"""Several things at once, as if they were one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def concurrently(work: Callable[[Item], Coroutine[Any, Any, Result]], items: Iterable[Item], *, at_most: int) -> list[Result]:
    """What ``work`` makes of each of ``items``, in their order, ``at_most`` in work at once.

    The first error cancels the rest and is raised as it is.
    """
    slots = asyncio.Semaphore(at_most)

    async def one(item: Item) -> Result:
        async with slots:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]
