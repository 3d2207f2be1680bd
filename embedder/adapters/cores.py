"""How much of the machine is ours."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may use at once: those that it may run on, and no more than a container's CPU limit lets it fill.

    Args:
        quota: a control group's ``cpu.max``: microseconds of CPU and the period that they are for, or ``max``.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        granted, period = quota.read_text().split()
        return cores if granted == "max" else max(1, min(cores, int(granted) // int(period)))
    except (OSError, ValueError):
        return cores
