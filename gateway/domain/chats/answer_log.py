"""The events of one answer, for readers that come, leave and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

Event = TypeVar("Event")


class AnswerLog(Generic[Event]):
    """Keeps every event, numbered from 1, so that nothing is lost on a reader that was away.

    It is as long as its answer, which its writer bounds.
    """

    def __init__(self, on_left: Callable[[], None]) -> None:
        """``on_left`` is called whenever the last reader has left before the end."""
        self._on_left = on_left
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._ended = False
        self._readers = 0

    @property
    def has_readers(self) -> bool:
        return self._readers > 0

    def append(self, event: Event) -> None:
        """Add ``event``; after the end, nothing is."""
        if not self._ended:
            self._events.append(event)
            self._wake()

    def end(self, last: Event) -> None:
        """Add the one event after which none comes."""
        self.append(last)
        self._ended = True
        self._wake()

    async def read(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """The events after number ``after``, those that are yet to come too, with their numbers; the last one always."""
        self._readers += 1
        after = min(after, len(self._events) - self._ended)
        try:
            while True:
                news = self._news
                while after < len(self._events):
                    after += 1
                    yield after, self._events[after - 1]
                if self._ended:
                    return
                await news.wait()
        finally:
            self._readers -= 1
            if not self._readers and not self._ended:
                self._on_left()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
