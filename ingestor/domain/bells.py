"""Wakes those who wait for something, by name."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from weakref import WeakValueDictionary


class Bells:
    """One bell for each name.

    Take the bell with `listen` *before* looking whether there is something to do, then `wait` on it: a ring in between is not missed.
    """

    def __init__(self) -> None:
        self._bells: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def listen(self, name: str) -> asyncio.Event:
        """The bell that the next `ring` of ``name`` sets."""
        bell = self._bells.get(name)
        if bell is None or bell.is_set():
            bell = self._bells[name] = asyncio.Event()
        return bell

    def ring(self, name: str) -> None:
        if bell := self._bells.get(name):
            bell.set()

    def ring_all(self) -> None:
        for bell in list(self._bells.values()):
            bell.set()


async def wait(bell: asyncio.Event, *, seconds: float) -> None:
    """Return when ``bell`` rings, or after ``seconds``."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()
