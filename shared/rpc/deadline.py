"""The time that the request being handled has left, handed on from call to call."""

from __future__ import annotations

import time
from contextvars import ContextVar

from shared.rpc.limits import DEADLINE_MARGIN_SECONDS, DEFAULT_DEADLINE_SECONDS

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_time_remaining(seconds: float | None) -> None:
    """Say how long the request being handled may take; None: for ever."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def time_remaining() -> float | None:
    """Seconds until the deadline of the request being handled, never negative; None when there is none."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def budget(wanted: float | None = None) -> float:
    """Seconds to give an outgoing call that would like ``wanted``: never more than is left for the request being handled."""
    wanted = DEFAULT_DEADLINE_SECONDS if wanted is None else wanted
    remaining = time_remaining()
    return wanted if remaining is None else max(0.001, min(wanted, remaining - DEADLINE_MARGIN_SECONDS))
