"""What the embedder does when ten times more is asked of it than it can do.

    python bench/overload.py [--seconds 60] [--times 10] [--interactive-share 0.025] [--json PATH]

Runs the service in its own process and calls it through gRPC. Closed-loop bulk calls first tell its capacity. Then three organisations
send `times` as much in both lanes without ever waiting for an answer, now and then with 2,048 long texts in a call, while a fourth
sends a small call after the other in each lane. Nobody tries again, so that a refusal is a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import numpy as np

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.contenders import Service
from bench.measuring import print_table, write_figures
from bench.texts import passages
from lectern.embedder.v1 import embedding_pb2
from shared.caller import Caller
from shared.rpc.channel import acting_for
from shared.rpc.status import from_rpc_error

LARGE = ("large-1", "large-2", "large-3")
TEXTS_PER_CALL = 32
# The largest call that there is: as many texts as one may have, each far beyond the model's window.
GIANT_EVERY_SECONDS, GIANT_TEXTS, GIANT_CHARACTERS = 2.0, 2_048, 2_000
DEADLINE_SECONDS = 60.0
LANES = (embedding_pb2.LANE_BULK, embedding_pb2.LANE_INTERACTIVE)


@dataclass(slots=True)
class Outcomes:
    """What became of calls; how long they took is in seconds."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    giants_refused: list[float] = field(default_factory=list)
    without_retry_info: int = 0
    tokens: int = 0
    others: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Report:
    """One run's figures. Rates in tokens a second; `small` are the calls of the organisation that asks little."""

    capacity: float
    goodput: float
    accepted: int
    refused: int
    ended_otherwise: int
    refused_without_retry_info: int
    refusal_p50_ms: float
    refusal_p99_ms: float
    giants_refused: int
    giant_refusal_p50_ms: float
    giant_refusal_max_ms: float
    small_refused: int
    small_interactive_idle_p50_ms: float
    small_interactive_p50_ms: float
    small_interactive_max_ms: float
    small_bulk_idle_p50_ms: float
    small_bulk_p50_ms: float
    small_bulk_max_ms: float
    rss_before_mib: float
    rss_peak_mib: float


class Load:
    """Sends calls and keeps what became of them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        texts = passages(1_024)
        self._parts = [texts[first : first + TEXTS_PER_CALL] for first in range(0, len(texts), TEXTS_PER_CALL)]
        self._giant = [(text * (1 + GIANT_CHARACTERS // len(text)))[:GIANT_CHARACTERS] for text in passages(GIANT_TEXTS, seed=1)]

    async def call(self, organisation: str, texts: Sequence[str], lane: embedding_pb2.Lane.ValueType, outcomes: Outcomes) -> None:
        request = embedding_pb2.EmbedTextsRequest(texts=texts, lane=lane)
        began = time.perf_counter()
        try:
            with acting_for(Caller(organisation, "service:bench")):
                response = await self._service.stub.EmbedTexts(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                outcomes.others[error.code().name] += 1
                return
            refused = outcomes.giants_refused if len(texts) == GIANT_TEXTS else outcomes.refused
            refused.append(time.perf_counter() - began)
            outcomes.without_retry_info += from_rpc_error(error).retry_after_seconds is None
        else:
            outcomes.accepted.append(time.perf_counter() - began)
            outcomes.tokens += response.token_count

    async def capacity(self, seconds: float) -> float:
        """Tokens a second that bulk callers get who wait for their answers."""
        outcomes, ends, parts = Outcomes(), time.perf_counter() + seconds, itertools.cycle(self._parts)

        async def caller(organisation: str) -> None:
            while time.perf_counter() < ends:
                await self.call(organisation, next(parts), embedding_pb2.LANE_BULK, outcomes)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as callers:
            for organisation in LARGE * 2:
                callers.create_task(caller(organisation))
        return outcomes.tokens / (time.perf_counter() - began)

    async def small(self, lane: embedding_pb2.Lane.ValueType, seconds: float) -> Outcomes:
        """A call of two texts after the other, for an organisation that asks little."""
        outcomes, ends = Outcomes(), time.perf_counter() + seconds
        while time.perf_counter() < ends:
            await self.call("small", self._parts[0][:2], lane, outcomes)
            await asyncio.sleep(0.1)
        return outcomes

    async def large(self, tokens_per_second: float, seconds: float, *, interactive_share: float) -> Outcomes:
        """Calls at a steady rate, whatever becomes of them; returns when every one has ended."""
        outcomes = Outcomes()
        pause = TEXTS_PER_CALL * sum(map(len, itertools.chain(*self._parts))) / (4 * TEXTS_PER_CALL * len(self._parts)) / tokens_per_second
        organisations, chance = itertools.cycle(LARGE), random.Random(0)
        parts = itertools.cycle(self._parts)
        began = next_giant = time.perf_counter()
        async with asyncio.TaskGroup() as calls:
            for number in itertools.count():
                await asyncio.sleep(max(0.0, began + number * pause - time.perf_counter()))
                now = time.perf_counter()
                if now - began > seconds:
                    break
                organisation, lane = next(organisations), LANES[chance.random() < interactive_share]
                calls.create_task(self.call(organisation, next(parts), lane, outcomes))
                if now > next_giant:
                    next_giant = now + GIANT_EVERY_SECONDS
                    calls.create_task(self.call(organisation, self._giant, lane, outcomes))
        return outcomes


async def measure(service: Service, *, seconds: float, times: float, interactive_share: float) -> Report:
    """Idle, then capacity, then overload."""
    load = Load(service)
    bulk, interactive = LANES
    await load.capacity(2.0)
    idle = {lane: await load.small(lane, min(5.0, seconds)) for lane in LANES}
    capacity = await load.capacity(min(10.0, seconds))
    before, peak = service.memory_bytes(), [0]

    async def watch_memory() -> None:
        while True:
            peak[0] = max(peak[0], service.memory_bytes())
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch_memory())
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        large = tasks.create_task(load.large(times * capacity, seconds, interactive_share=interactive_share))
        small = {lane: tasks.create_task(load.small(lane, seconds)) for lane in LANES}
    took = time.perf_counter() - began
    watching.cancel()
    outcomes, loaded = large.result(), {lane: task.result() for lane, task in small.items()}
    everybody = (outcomes, *loaded.values())
    return Report(
        capacity=capacity,
        goodput=sum(each.tokens for each in everybody) / took,
        accepted=sum(len(each.accepted) for each in everybody),
        refused=len(outcomes.refused) + len(outcomes.giants_refused),
        ended_otherwise=sum(sum(each.others.values()) for each in everybody),
        refused_without_retry_info=sum(each.without_retry_info for each in everybody),
        refusal_p50_ms=percentile(outcomes.refused, 50),
        refusal_p99_ms=percentile(outcomes.refused, 99),
        giants_refused=len(outcomes.giants_refused),
        giant_refusal_p50_ms=percentile(outcomes.giants_refused, 50),
        giant_refusal_max_ms=percentile(outcomes.giants_refused, 100),
        small_refused=sum(len(each.refused) for each in loaded.values()),
        small_interactive_idle_p50_ms=percentile(idle[interactive].accepted, 50),
        small_interactive_p50_ms=percentile(loaded[interactive].accepted, 50),
        small_interactive_max_ms=percentile(loaded[interactive].accepted, 100),
        small_bulk_idle_p50_ms=percentile(idle[bulk].accepted, 50),
        small_bulk_p50_ms=percentile(loaded[bulk].accepted, 50),
        small_bulk_max_ms=percentile(loaded[bulk].accepted, 100),
        rss_before_mib=before / 2**20,
        rss_peak_mib=peak[0] / 2**20,
    )


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds; 0 of nothing."""
    return float(np.percentile(seconds, share)) * 1e3 if seconds else 0.0


async def run(arguments: argparse.Namespace) -> Report:
    async with Service.running("minilm", QUEUE_TOKENS=str(arguments.queue_tokens)) as service:
        return await measure(service, seconds=arguments.seconds, times=arguments.times, interactive_share=arguments.interactive_share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the overload lasts")
    parser.add_argument("--times", type=float, default=10.0, help="how many times its capacity is asked of the service")
    parser.add_argument("--interactive-share", type=float, default=0.025, help="of the calls; what is interactive goes before bulk work")
    parser.add_argument("--queue-tokens", type=int, default=100_000, help="the service's LECTERN_EMBEDDER_QUEUE_TOKENS")
    parser.add_argument("--json", type=Path, help="write {figure: value} there")
    arguments = parser.parse_args()
    figures = asdict(asyncio.run(run(arguments)))
    title = f"{arguments.times:g} x capacity for {arguments.seconds:g} s"
    print_table(title, ["", ""], [[name.replace("_", " "), f"{value:,.1f}"] for name, value in figures.items()])
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
