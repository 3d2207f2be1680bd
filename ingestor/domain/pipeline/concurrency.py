"""Several things at once, as if they were one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def concurrently(work: Iterable[Coroutine[Any, Any, Result]], *, at_most: int) -> list[Result]:
    """The results of ``work`` in its order, ``at_most`` in work at once. The first error cancels the rest and is raised as it is."""
    slots = asyncio.Semaphore(at_most)

    async def one(coroutine: Coroutine[Any, Any, Result]) -> Result:
        async with slots:
            return await coroutine

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(coroutine)) for coroutine in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]
