"""How contenders are compared: in turn in one run, medians of several rounds, wall time and CPU time side by side."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Figures = dict[str, float]
Vectors = NDArray[np.float32]


class Contender(Protocol):
    """Something that embeds.

    Attributes:
        name: as the table prints it.
    """

    name: str

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed passages as fast as it can.

        Shapes:
            returns: (texts, dimension).
        """
        ...

    async def embed_query(self, text: str) -> None: ...

    def cpu_seconds(self) -> float:
        """CPU time that its process has used so far."""
        ...


@dataclass(slots=True)
class Timing:
    """What several rounds of one contender took, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, wall: float, cpu: float) -> None:
        self.wall.append(wall)
        self.cpu.append(max(cpu, 1e-9))

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        return statistics.median(self.cpu)

    def times_faster_than(self, other: Timing) -> float:
        """Median of the rounds' ratios: what disturbs one round disturbs both of its halves."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.wall, other.wall, strict=True))

    def times_less_cpu_than(self, other: Timing) -> float:
        return statistics.median(theirs / ours for ours, theirs in zip(self.cpu, other.cpu, strict=True))


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of single calls, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
        return cls(float(p50), float(p99))


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cosine of two sets of vectors, row by row."""

    mean: float
    least: float

    @classmethod
    def of(cls, vectors: Vectors, reference: Vectors) -> Agreement:
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        cosines = (vectors.astype(np.float64) * reference).sum(axis=1) / lengths
        return cls(float(cosines.mean()), float(cosines.min()))


def cpu_matmul_rate(dtype: torch.dtype) -> float:
    """Floating-point operations that plain matrix products do in a second of one core: the machine's measured limit.

    In CPU time, so that whatever else runs on the machine does not lower the limit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fastest_products(1024, dtype, "cpu", clock=time.thread_time)
    finally:
        torch.set_num_threads(threads)


def gpu_matmul_rate(dtype: torch.dtype, device: str) -> float:
    """The same of a whole GPU, in wall time."""
    return _fastest_products(8192, dtype, device, clock=time.perf_counter)


def _fastest_products(size: int, dtype: torch.dtype, device: str, *, clock: Callable[[], float], times: int = 5) -> float:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def seconds() -> float:
        began = clock()
        for _ in range(times):
            torch.nn.functional.linear(left, right)
        if device != "cpu":
            torch.cuda.synchronize()
        return (clock() - began) / times

    return 2 * size**3 / min(seconds() for _ in range(20))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n## {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def write_figures(path: Path | None, figures: Figures) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
