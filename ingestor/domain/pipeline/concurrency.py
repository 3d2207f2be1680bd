"""Several things at once, as if they were one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
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


async def as_they_end(
    work: Callable[[Item], Coroutine[Any, Any, Result]], items: Iterable[Item], *, at_most: int
) -> AsyncGenerator[list[Result]]:
    """The same as soon as it is there: each time what has ended meanwhile, so that what is slow holds nothing else up.

    The first error is raised as it is. Close the iterator to cancel the rest.
    """
    slots = asyncio.Semaphore(at_most)

    async def one(item: Item) -> Result:
        async with slots:
            return await work(item)

    pending = {asyncio.create_task(one(item)): None for item in items}
    try:
        while pending:
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in pending if task.done()]
            for task in ended:
                del pending[task]
            yield [task.result() for task in ended]
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
