"""What a query waits while the embedder is busy with bulk work, and what bulk work loses to queries.

    python bench/lanes.py [--quick] [--json PATH] [--precision auto]

Runs the service in its own process and calls it through gRPC. Three phases in turn, round after round: queries alone, bulk alone, both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.contenders import Service
from bench.measuring import Figures, Latency, print_table, write_figures
from bench.texts import passages, queries

BULK_CLIENTS = 16
TEXTS_PER_REQUEST = 32
# Between two queries, so that each is a single one: twenty a second at most.
PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Phases:
    """What the rounds showed; rates in bulk tokens a second."""

    idle_seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float] = field(default_factory=list)
    alone_rates: list[float] = field(default_factory=list)
    shared_rates: list[float] = field(default_factory=list)


async def measure(service: Service, *, rounds: int, seconds: float) -> Phases:
    phases = Phases()
    questions = itertools.cycle(queries(1000))
    await ask(service, questions, seconds / 4)
    for _ in range(rounds):
        phases.idle_seconds += await ask(service, questions, seconds)
        async with bulk_load(service):
            await asyncio.sleep(seconds / 4)  # until the queue is full
            began = await service.embedded_tokens(), time.perf_counter()
            await asyncio.sleep(seconds)
            between = await service.embedded_tokens(), time.perf_counter()
            asked = await ask(service, questions, seconds)
            ended = await service.embedded_tokens(), time.perf_counter()
        phases.busy_seconds += asked
        phases.alone_rates.append((between[0] - began[0]) / (between[1] - began[1]))
        phases.shared_rates.append((ended[0] - between[0]) / (ended[1] - between[1]))
    return phases


async def ask(service: Service, questions: Iterator[str], seconds: float) -> list[float]:
    """One query after the other; how long each took."""
    took: list[float] = []
    ends = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        await service.embed_query(next(questions))
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return took


@asynccontextmanager
async def bulk_load(service: Service) -> AsyncIterator[None]:
    """Keep the service's bulk lane full."""
    texts = passages(BULK_CLIENTS * TEXTS_PER_REQUEST)

    async def client(number: int) -> None:
        mine = texts[number * TEXTS_PER_REQUEST : (number + 1) * TEXTS_PER_REQUEST]
        while True:
            await service.embed_request(mine)

    async with asyncio.TaskGroup() as clients:
        tasks = [clients.create_task(client(number)) for number in range(BULK_CLIENTS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def report(precision: str, phases: Phases) -> Figures:
    idle, busy = Latency.of(phases.idle_seconds), Latency.of(phases.busy_seconds)
    kept = statistics.median(shared / alone for alone, shared in zip(phases.alone_rates, phases.shared_rates, strict=True))
    rows = [
        ["alone", f"{idle.p50:.2f}", f"{idle.p99:.2f}", f"{statistics.median(phases.alone_rates):,.0f}"],
        ["together", f"{busy.p50:.2f}", f"{busy.p99:.2f}", f"{statistics.median(phases.shared_rates):,.0f}"],
    ]
    print_table(
        f"Lanes, precision {precision}, {len(phases.busy_seconds)} queries", ["", "query p50 ms", "query p99 ms", "bulk tokens/s"], rows
    )
    print(f"\nQuery p99 under full bulk load is {busy.p99 / idle.p50:.1f} x its idle p50; bulk keeps {kept:.0%} of its rate.")
    return {
        f"{precision}: idle_p50_ms": idle.p50,
        f"{precision}: idle_p99_ms": idle.p99,
        f"{precision}: busy_p50_ms": busy.p50,
        f"{precision}: busy_p99_ms": busy.p99,
        f"{precision}: busy_p99_to_idle_p50": busy.p99 / idle.p50,
        f"{precision}: bulk_kept": kept,
    }


async def run(arguments: argparse.Namespace) -> Figures:
    rounds, seconds = (1, 8.0) if arguments.quick else (5, 15.0)
    async with Service.running(arguments.model, precision=arguments.precision) as service:
        return report(arguments.precision, await measure(service, rounds=rounds, seconds=seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round: about half a minute")
    parser.add_argument("--json", type=Path, help="write {figure: value} there")
    parser.add_argument("--model", default="minilm", help="folder in sentence-transformers layout")
    parser.add_argument("--precision", default="auto", help="the service's")
    arguments = parser.parse_args()
    write_figures(arguments.json, asyncio.run(run(arguments)))


if __name__ == "__main__":
    main()
