"""How fast the embedder is, beside its peers and beside what the machine can do, all in one run on the same texts.

    python bench/embedder.py [--quick] [--json PATH] [--infinity-python PATH]
    python bench/embedder.py --device cuda          # GPU: random weights in the shapes of well-known models
    python bench/embedder.py --device cpu --shapes  # the same table in miniature

Infinity wants other versions than ours: give it an environment of its own (`python -m venv infinity && infinity/bin/pip install
"infinity-emb[torch]"`) and name its interpreter. Without it the table goes on without infinity.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

import bench.search_path  # noqa: F401  # before all that imports the service
from bench import shapes
from bench.contenders import CLIENTS, TEXTS_PER_REQUEST, InProcess, Service
from bench.measuring import Agreement, Contender, Figures, Latency, Timing, Vectors, cpu_matmul_rate, print_table, write_figures
from bench.peers import Infinity, SentenceTransformers
from bench.texts import passages, queries
from embedder.adapters.transformers.checkpoint import read_checkpoint
from embedder.adapters.transformers.network import SentenceNetwork
from embedder.adapters.transformers.tokenizer import FastTokenizer
from embedder.domain.encoding import Task
from shared.logging import configure_logging


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    texts: int
    queries: int
    rounds: int


FULL = Size(texts=600, queries=300, rounds=5)
QUICK = Size(texts=120, queries=60, rounds=2)


@dataclass(slots=True)
class Result:
    """What one contender showed."""

    contender: Contender
    vectors: Vectors
    timing: Timing = field(default_factory=Timing)
    tenth: Timing = field(default_factory=Timing)
    query_seconds: list[float] = field(default_factory=list)


async def time_once(timing: Timing, contender: Contender, texts: Sequence[str]) -> None:
    wall, cpu = time.perf_counter(), contender.cpu_seconds()
    await contender.embed(texts)
    timing.add(time.perf_counter() - wall, contender.cpu_seconds() - cpu)


async def measure(contenders: Sequence[Contender], size: Size) -> list[Result]:
    """Every contender in turn, round after round."""
    texts, questions = passages(size.texts), queries(size.queries)
    results = [Result(contender, await contender.embed(texts)) for contender in contenders]
    per_round = size.queries // size.rounds
    for number in range(size.rounds):
        for result in results:
            contender = result.contender
            await time_once(result.timing, contender, texts)
            await time_once(result.tenth, contender, texts[::10])
            for question in questions[number * per_round : (number + 1) * per_round]:
                began = time.perf_counter()
                await contender.embed_query(question)
                result.query_seconds.append(time.perf_counter() - began)
    return results


@dataclass(frozen=True, slots=True)
class Work:
    """What embedding the texts asks of any machine.

    Attributes:
        tokens: of all texts, special tokens included.
        flops: multiplications and additions of the layers and of attention.
    """

    tokens: int
    flops: float


def work(model: str, texts: Sequence[str]) -> Work:
    checkpoint = read_checkpoint(model)
    network = SentenceNetwork(checkpoint)
    lengths = [len(ids) for ids in FastTokenizer(checkpoint).tokenize(texts, Task.PASSAGE)]
    return Work(sum(lengths), shapes.forward_flops(network.transformer, lengths))


async def cpu_table(arguments: argparse.Namespace) -> Figures:
    size = QUICK if arguments.quick else replace(FULL, rounds=arguments.rounds)
    cost = work(arguments.model, passages(size.texts))
    peaks = {"fp32": cpu_matmul_rate(torch.float32), "bf16": cpu_matmul_rate(torch.bfloat16)}
    async with AsyncExitStack() as stack:
        contenders: list[Contender] = [SentenceTransformers(arguments.model)]
        if arguments.infinity_python:
            contenders.append(await stack.enter_async_context(Infinity.running(arguments.infinity_python, arguments.model)))
        engines = [await stack.enter_async_context(InProcess.running(arguments.model, precision=each)) for each in arguments.precision]
        services = [await stack.enter_async_context(Service.running(arguments.model, precision=each)) for each in arguments.service]
        results = await measure([*contenders, *engines, *services], size)
    print_results(results, cost, peaks, engines[0])
    return figures(results, cost, peaks, engines[0])


def print_results(results: Sequence[Result], cost: Work, peaks: dict[str, float], engine: InProcess) -> None:
    reference = results[0]
    rows = []
    for result in results:
        agreement, latency = Agreement.of(result.vectors, reference.vectors), Latency.of(result.query_seconds)
        rows.append(
            [
                result.contender.name,
                f"{cost.tokens / result.timing.median:,.0f}",
                f"{cost.tokens / result.timing.median_cpu:,.0f}",
                f"{result.timing.times_faster_than(reference.timing):.2f}",
                f"{result.timing.times_less_cpu_than(reference.timing):.2f}",
                f"{agreement.mean:.5f} / {agreement.least:.5f}",
                f"{latency.p50:.1f} / {latency.p99:.1f}",
                f"{tenfold_cost(result):.1f}",
                f"{cost.flops / result.timing.median_cpu / peaks['bf16']:.0%}",
            ]
        )
    columns = [
        "",
        "tokens/s",
        "tokens/CPU-s",
        "times faster",
        "times less CPU",
        "cosine mean / least",
        "query p50 / p99 ms",
        "10 x texts cost",
        "of bf16 limit",
    ]
    print_table(f"{len(reference.vectors)} texts, {cost.tokens:,} tokens", columns, rows)
    spent = reference.timing.median_cpu
    limits = [[name, f"{peak / 1e9:,.0f}", f"{cost.flops / peak:.1f}", f"{spent * peak / cost.flops:.1f}"] for name, peak in peaks.items()]
    columns = [
        "matrix products",
        "GFLOP a core and second",
        "CPU seconds that these texts need",
        f"times less than {reference.contender.name}",
    ]
    print_table("The machine's limit", columns, limits)
    print(f"\nPadded to real tokens: {padding(engine):.3f}. The service has {CLIENTS} clients, {TEXTS_PER_REQUEST} texts a request.")


def figures(results: Sequence[Result], cost: Work, peaks: dict[str, float], engine: InProcess) -> Figures:
    reference = results[0]
    collected = {
        "padded_to_real_tokens": padding(engine),
        "matmul_fp32_gflops": peaks["fp32"] / 1e9,
        "matmul_bf16_gflops": peaks["bf16"] / 1e9,
    }
    for result in results:
        agreement, latency = Agreement.of(result.vectors, reference.vectors), Latency.of(result.query_seconds)
        measured = {
            "tokens_per_second": cost.tokens / result.timing.median,
            "times_faster": result.timing.times_faster_than(reference.timing),
            "times_less_cpu": result.timing.times_less_cpu_than(reference.timing),
            "cosine_mean": agreement.mean,
            "cosine_least": agreement.least,
            "query_p50_ms": latency.p50,
            "query_p99_ms": latency.p99,
            "tenfold_cost": tenfold_cost(result),
            "share_of_bf16_peak": cost.flops / result.timing.median_cpu / peaks["bf16"],
        }
        collected |= {f"{result.contender.name}: {name}": value for name, value in measured.items()}
    return collected


def tenfold_cost(result: Result) -> float:
    """How many times longer ten times the texts took."""
    return statistics.median(whole / tenth for whole, tenth in zip(result.timing.wall, result.tenth.wall, strict=True))


def padding(engine: InProcess) -> float:
    return engine.padding.padded_tokens / engine.padding.tokens


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer texts and rounds: about a minute")
    parser.add_argument("--rounds", type=int, default=FULL.rounds, help="how often each has its turn; a round is a minute and a half")
    parser.add_argument("--json", type=Path, help="write {figure: value} there")
    parser.add_argument("--model", default="minilm", help="folder in sentence-transformers layout")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the table of shapes")
    parser.add_argument("--shapes", action="store_true", help="the table of shapes, also on a CPU")
    parser.add_argument("--precision", nargs="+", default=["auto", "fp32", "int8"], help="of our engine in process")
    parser.add_argument("--service", nargs="+", default=["auto", "int8"], help="precisions to run the service in")
    parser.add_argument("--infinity-python", type=Path, help="interpreter that has infinity installed")
    return parser.parse_args(arguments)


def main() -> None:
    arguments = parsed()
    configure_logging("bench", level="error", style="console")
    if arguments.shapes or arguments.device != "cpu":
        measured = shapes.shapes_table(arguments.device, quick=arguments.quick)
    else:
        measured = asyncio.run(cpu_table(arguments))
    write_figures(arguments.json, measured)


if __name__ == "__main__":
    main()
