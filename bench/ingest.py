"""How fast documents become searchable, beside the embedder's own rate and beside what others build for the same job, all in one run.

    python bench/ingest.py [--quick] [--only ratios|search] [--json PATH] [--peers-python PATH]

Starts a laptop stack of its own and talks to it over HTTP, as a user does. The peers want versions of their own: make them an environment
(`python -m venv peers && peers/bin/pip install langchain-huggingface langchain-milvus langchain-text-splitters llama-index-core
llama-index-embeddings-huggingface llama-index-vector-stores-milvus "haystack-ai<3" milvus-haystack "pymilvus<2.6.5" milvus-lite
sentence-transformers pypdf`) and name its interpreter. Their pace does not depend on how much they are given, so they get a share.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.contenders import Service
from bench.ingesting import PDF_PAGES, Contender, Ours, Peer, SearchLoad, Spent, abstracts, write_pdfs
from bench.measuring import Figures, print_table, write_figures
from bench.stack import LaptopStack, laptop_stack
from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL

_PEERS = ("langchain", "llamaindex", "haystack")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; ``shared`` of it by the peers and the embedder alone."""

    abstracts: int
    pdfs: int
    shared: float
    idle_searches: int


FULL = Size(abstracts=5000, pdfs=100, shared=0.1, idle_searches=100)
QUICK = Size(abstracts=300, pdfs=12, shared=0.5, idle_searches=40)


@dataclass(frozen=True, slots=True)
class Pace:
    """Documents or pages, and what they took."""

    count: int
    spent: Spent

    @property
    def per_second(self) -> float:
        return self.count / self.spent.wall

    @property
    def per_cpu_second(self) -> float:
        return self.count / self.spent.cpu


@dataclass(frozen=True, slots=True)
class Paces:
    """One contender's."""

    abstracts: Pace
    pdf_pages: Pace

    @classmethod
    def of(cls, contender: Contender, texts: Sequence[str], pdfs: Sequence[Path]) -> Paces:
        return cls(
            Pace(len(texts), contender.ingest_texts(texts)),
            Pace(len(pdfs) * PDF_PAGES, contender.ingest_files(pdfs)),
        )


async def embedder_pace(service: Service, texts: Sequence[str]) -> Pace:
    """The embedder alone, over gRPC."""
    began, cpu = time.perf_counter(), service.cpu_seconds()
    await service.embed(texts)
    return Pace(len(texts), Spent(time.perf_counter() - began, service.cpu_seconds() - cpu))


async def measure_ratios(stack: LaptopStack, peers: Sequence[Peer], size: Size, folder: Path) -> Figures:
    """Every contender in turn; the embedder alone before and after ours."""
    texts, pdfs = abstracts(size.abstracts, seed=2), write_pdfs(folder, size.pdfs)
    fewer_texts, fewer_pdfs = texts[: round(size.abstracts * size.shared)], pdfs[: round(size.pdfs * size.shared)]
    Ours(stack, "warm").ingest_texts(abstracts(10, seed=1))
    async with Service.running(PACKAGED_MODEL) as service:
        await service.embed(texts[:50])
        alone = [await embedder_pace(service, fewer_texts)]
        ours = Ours(stack, "library")
        results = {ours.name: await asyncio.to_thread(Paces.of, ours, texts, pdfs)}
        alone.append(await embedder_pace(service, fewer_texts))
    again = ours.ingest_texts(texts)
    results |= {peer.name: Paces.of(peer, fewer_texts, fewer_pdfs) for peer in peers}
    return report_ratios(results, alone, again)


def report_ratios(results: dict[str, Paces], alone: Sequence[Pace], again: Spent) -> Figures:
    ours = results[Ours.name]
    figures: Figures = {}
    rows = []
    for name, theirs in results.items():
        row = [name]
        for kind, their_pace, our_pace in (
            ("abstracts", theirs.abstracts, ours.abstracts),
            ("pdf_pages", theirs.pdf_pages, ours.pdf_pages),
        ):
            compared = {
                f"{name}.{kind}_per_second": their_pace.per_second,
                f"{name}.times_our_time_{kind}": our_pace.per_second / their_pace.per_second,
                f"{name}.times_our_cpu_{kind}": our_pace.per_cpu_second / their_pace.per_cpu_second,
            }
            figures |= compared
            row += [f"{value:.1f}" for value in compared.values()]
        rows.append(row)
    columns = [f"{kind}{what}" for kind in ("abstracts", "PDF pages") for what in ("/s", ", times our time", ", times our CPU time")]
    print_table(f"{ours.abstracts.count} abstracts and {ours.pdf_pages.count} PDF pages, until searchable", ["", *columns], rows)
    rate, cpu_rate = statistics.mean(pace.per_second for pace in alone), statistics.mean(pace.per_cpu_second for pace in alone)
    figures["share_of_embedder_rate"] = ours.abstracts.per_second / rate
    figures["share_of_embedder_rate_by_cpu"] = ours.abstracts.per_cpu_second / cpu_rate
    figures["second_ingest_times_faster"] = ours.abstracts.spent.wall / again.wall
    print(f"\nOf the embedder's own {rate:.0f} texts/s: {figures['share_of_embedder_rate']:.0%}; ", end="")
    print(f"of its texts a CPU second: {figures['share_of_embedder_rate_by_cpu']:.0%}.")
    print(f"The same bytes again: {figures['second_ingest_times_faster']:.0f} times faster.")
    return figures


def measure_search(stack: LaptopStack, size: Size, folder: Path) -> Figures:
    """Searches while everything is taken in at once, and when all of it is there."""
    texts, pdfs = abstracts(size.abstracts, seed=3), write_pdfs(folder, size.pdfs)
    Ours(stack, "earlier").ingest_texts(abstracts(500, seed=4))
    load = SearchLoad(stack)
    load.idle(10)
    contenders = Ours(stack, "texts"), Ours(stack, "files")
    with load.meanwhile() as took, ThreadPoolExecutor(2) as ingesting:
        for done in [ingesting.submit(contenders[0].ingest_texts, texts), ingesting.submit(contenders[1].ingest_files, pdfs)]:
            done.result()
    waits = {"ingesting": took, "idle": load.idle(size.idle_searches)}
    figures: Figures = {}
    rows = []
    for name, seconds in waits.items():
        p50, p95 = 1e3 * statistics.median(seconds), 1e3 * statistics.quantiles(seconds, n=20)[-1]
        figures |= {f"search_p50_{name}_ms": p50, f"search_p95_{name}_ms": p95}
        rows.append([name, str(len(seconds)), f"{p50:.0f}", f"{p95:.0f}"])
    title = f"Searches while {size.abstracts} abstracts and {size.pdfs} PDFs are taken in at once"
    print_table(title, ["", "searches", "p50 ms", "p95 ms"], rows)
    print(f"\np95: {figures['search_p95_ingesting_ms'] / figures['search_p95_idle_ms']:.1f} times its idle value.")
    return figures


def run(size: Size, only: str | None, peers_python: Path | None) -> Figures:
    figures: Figures = {}
    peers = [Peer(peers_python, name) for name in _PEERS] if peers_python and only != "search" else []
    try:
        with tempfile.TemporaryDirectory() as folder, laptop_stack(Path(folder) / "home") as stack:
            if only != "search":
                figures |= asyncio.run(measure_ratios(stack, peers, size, Path(folder) / "ratios"))
            if only != "ratios":
                figures |= measure_search(stack, size, Path(folder) / "search")
            return figures
    finally:
        for peer in peers:
            peer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer documents: about two minutes")
    parser.add_argument("--only", choices=["ratios", "search"], help="measure one of the two")
    parser.add_argument("--json", type=Path, help="write {figure: value} there")
    parser.add_argument("--peers-python", type=Path, help="interpreter that has the peers installed")
    arguments = parser.parse_args()
    write_figures(arguments.json, run(QUICK if arguments.quick else FULL, arguments.only, arguments.peers_python))


if __name__ == "__main__":
    main()
