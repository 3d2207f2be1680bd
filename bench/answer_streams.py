"""Many readers of answers at once: is every token there, how late is it, and what is left when readers leave.

    python bench/answer_streams.py [--streams 200] [--tokens 400] [--cancelled 1000] [--json PATH]

A scripted model writes 20 tokens a second to each; gateway, generator, model, library and readers are processes of their own on this
machine. The library finds its passages at once, so that the first event's time is the gateway's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import bench.search_path  # noqa: F401  # before all that imports a service
from bench.streaming import Reading, Stack, leave_stream, read_stream, running
from deploy.laptop.postgres import EmbeddedPostgres
from gateway.migrations import FOLDER, SCHEMA
from shared.migrations import Migrations

TOKENS_PER_SECOND = 20.0
LEAVING_AT_ONCE = 50
SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """One run's figures. Milliseconds."""

    streams: int
    tokens: int
    wrong_streams: int
    first_event_p50: float
    first_event_p95: float
    token_delay_p50: float
    token_delay_p95: float
    token_delay_worst: float
    cpu_ms_per_1000_tokens: dict[str, float]
    cancelled: int
    settled_in_seconds: float
    left_running: dict[str, int]
    files_before: dict[str, int]
    files_after: dict[str, int]


async def measure(stack: Stack, *, streams: int, tokens: int, ramp_seconds: float, cancelled: int) -> Report:
    """Read ``streams`` answers at once, begun within ``ramp_seconds``, then begin and leave ``cancelled`` more."""
    await read_stream(stack, 0, tokens)  # what is loaded at first use is loaded now
    files_before = stack.open_files()
    cpu_before = _cpu(stack)
    readings = await _read_all(stack, streams, tokens, ramp_seconds)
    cpu = {name: after - cpu_before[name] for name, after in _cpu(stack).items()}
    for reading in readings:
        if reading.wrong:
            print(reading.wrong)
    await _leave_all(stack, cancelled)
    settled = await _settled(stack)
    firsts = [reading.first_event * 1000 for reading in readings]
    delays = [delay * 1000 for reading in readings for delay in reading.delays]
    total = sum(reading.tokens for reading in readings)
    return Report(
        streams=streams,
        tokens=total,
        wrong_streams=sum(bool(reading.wrong) or reading.last_event != "complete" for reading in readings),
        first_event_p50=statistics.median(firsts),
        first_event_p95=_quantile(firsts, 0.95),
        token_delay_p50=statistics.median(delays),
        token_delay_p95=_quantile(delays, 0.95),
        token_delay_worst=max(delays),
        cpu_ms_per_1000_tokens={name: seconds * 1e6 / total for name, seconds in cpu.items()},
        cancelled=cancelled,
        settled_in_seconds=settled,
        left_running=await asyncio.to_thread(stack.left_running),
        files_before=files_before,
        files_after=stack.open_files(),
    )


async def _read_all(stack: Stack, streams: int, tokens: int, ramp_seconds: float) -> list[Reading]:
    async def begun_later(number: int) -> Reading:
        await asyncio.sleep(ramp_seconds * number / streams)
        return await read_stream(stack, number, tokens)

    return await asyncio.gather(*(begun_later(number) for number in range(streams)))


async def _leave_all(stack: Stack, cancelled: int) -> None:
    gate = asyncio.Semaphore(LEAVING_AT_ONCE)

    async def leave(number: int) -> None:
        async with gate:
            await leave_stream(stack, number, deltas=1 + number % 3)

    await asyncio.gather(*(leave(number) for number in range(cancelled)))


async def _settled(stack: Stack) -> float:
    """Seconds until nothing is in work any more, or `SETTLE_SECONDS`."""
    started = time.monotonic()
    while any((await asyncio.to_thread(stack.left_running)).values()) and time.monotonic() - started < SETTLE_SECONDS:  # noqa: ASYNC110  # they are other processes
        await asyncio.sleep(0.05)  # polls other processes
    return time.monotonic() - started


def _cpu(stack: Stack) -> dict[str, float]:
    times = {name: process.cpu_times() for name, process in stack.processes.items()}
    return {name: spent.user + spent.system for name, spent in times.items()}


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="lectern-", ignore_cleanup_errors=True) as folder:
        postgres = EmbeddedPostgres(Path(folder) / "data")
        try:
            database_url = postgres.start()
            await Migrations(SCHEMA, FOLDER).upgrade(database_url)
            with running(database_url, Path(folder), tokens=arguments.tokens, tokens_per_second=TOKENS_PER_SECOND) as stack:
                report = await measure(
                    stack, streams=arguments.streams, tokens=arguments.tokens, ramp_seconds=arguments.ramp, cancelled=arguments.cancelled
                )
        finally:
            postgres.stop()
    for name, value in asdict(report).items():
        print(f"{name:26} {value if not isinstance(value, float) else round(value, 1)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--ramp", type=float, default=10.0, help="seconds within which the streams begin")
    parser.add_argument("--cancelled", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    asyncio.run(main(parser.parse_args()))
