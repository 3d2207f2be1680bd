"""Ways to run several things at once that leave nothing behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")
Request = TypeVar("Request")
Response = TypeVar("Response")


async def concurrently(first: Coroutine[Any, Any, First], second: Coroutine[Any, Any, Second]) -> tuple[First, Second]:
    """Run both and return both results; when one raises, the other is cancelled and that exception is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return tasks[0].result(), tasks[1].result()


async def in_order_ahead(
    requests: AsyncIterable[Request], begin: Callable[[Request], Awaitable[Response]], *, ahead: int
) -> AsyncGenerator[Response]:
    """Begin up to ``ahead`` requests at once and yield their responses in the requests' order.

    Takes requests in while responses are still being made, and no more of them than that: who sends is held back by who receives. When a
    request fails, those after it are cancelled and its exception is raised. Close the iterator to cancel everything.
    """
    begun: deque[asyncio.Future[Response]] = deque()
    room, arrived = asyncio.Semaphore(ahead), asyncio.Semaphore(0)

    async def read() -> None:
        try:
            await room.acquire()
            async for request in requests:
                begun.append(asyncio.ensure_future(begin(request)))
                arrived.release()
                await room.acquire()
        finally:
            arrived.release()

    reader = asyncio.create_task(read())
    try:
        while True:
            await arrived.acquire()
            if not begun:
                await reader
                return
            response = await begun[0]
            begun.popleft()
            yield response
            room.release()
    finally:
        tasks: list[asyncio.Future[Any]] = [reader, *begun]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
