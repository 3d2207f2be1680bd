"""Whether everything that the gateway needs is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

log = structlog.get_logger()
# Probes may come many times a second, from every load balancer; the dependencies are asked once.
TTL_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 2.0

Probe = Callable[[], Awaitable[bool]]


class Readiness:
    """Asks every dependency, at most once a second and never twice at the same time."""

    def __init__(self, probes: Mapping[str, Probe], now: Callable[[], float] = time.monotonic) -> None:
        """Probes by dependency: each says whether it can do its work; raising means no."""
        self._probes = probes
        self._now = now
        self._lock = asyncio.Lock()
        self._checked_at: float | None = None
        self._states: dict[str, bool] = {}

    async def check(self) -> Mapping[str, bool]:
        """Whether each dependency is ready, by name."""
        async with self._lock:
            if self._checked_at is None or self._now() - self._checked_at >= TTL_SECONDS:
                ready = await asyncio.gather(*(self._ask(name, probe) for name, probe in self._probes.items()))
                self._states = dict(zip(self._probes, ready, strict=True))
                self._checked_at = self._now()
            return self._states

    async def _ask(self, name: str, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await probe()
        except Exception as error:  # noqa: BLE001  # whatever it is, the dependency is not ready
            log.info("dependency_not_ready", dependency=name, error=type(error).__name__)
            return False
