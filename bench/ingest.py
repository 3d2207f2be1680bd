"""How fast documents become searchable, beside the embedder's own rate and beside what others build for the same job, all in one run.

    python bench/ingest.py [--quick] [--json PATH] [--peers-python PATH]

Starts a laptop stack of its own and talks to it over HTTP, as a user does. The peers want versions of their own: make them an environment
(`python -m venv peers && peers/bin/pip install langchain-huggingface langchain-milvus langchain-text-splitters llama-index-core
llama-index-embeddings-huggingface llama-index-vector-stores-milvus "haystack-ai<3" milvus-haystack "pymilvus<2.6.5" milvus-lite
sentence-transformers pypdf`) and name its interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.contenders import Service
from bench.measuring import Figures, print_table, write_figures
from bench.stack import laptop_stack
from bench.texts import passages, queries
from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL, model_folder
from lectern_client import Lectern

_PEERS = ("langchain", "llamaindex", "haystack")
_PDF_PAGES = 4
_PDF_LINE_CHARACTERS = 75
_PDF_LINES_A_PAGE = 40


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    abstracts: int
    pdfs: int
    rounds: int


FULL = Size(abstracts=1000, pdfs=50, rounds=3)
QUICK = Size(abstracts=200, pdfs=10, rounds=1)


@dataclass(slots=True)
class Seconds:
    """What the rounds took."""

    abstracts: list[float] = field(default_factory=list)
    pdfs: list[float] = field(default_factory=list)
    passages: int = 0


class Peer:
    """One of `bench/pipelines.py` in its own process."""

    def __init__(self, python: Path, name: str) -> None:
        self.name = name
        command = [str(python), str(Path(__file__).with_name("pipelines.py")), name, str(model_folder(PACKAGED_MODEL))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.run(texts=passages(10))

    def run(self, **request: Sequence[str]) -> tuple[float, int]:
        """Seconds, and passages written."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; run bench/pipelines.py {self.name} by hand to see why.")
        reply = json.loads(line)
        return float(reply["seconds"]), int(reply["passages"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Library:
    """A collection of the running stack."""

    def __init__(self, client: Lectern, name: str) -> None:
        self._client = client
        self.name = name
        client.collections.create(name)

    def ingest_texts(self, texts: Sequence[str]) -> float:
        """Seconds from the request to the last document being searchable."""
        began = time.perf_counter()
        entries = ({"id": f"a{number}", "name": f"Abstract {number}", "text": text} for number, text in enumerate(texts))
        self._finish(self._client.documents.create_batch(self.name, entries).job.id)
        return time.perf_counter() - began

    def ingest_files(self, paths: Sequence[Path]) -> float:
        began = time.perf_counter()
        jobs = [self._client.documents.upload(self.name, path).job for path in paths]
        for job in jobs:
            if job is not None:
                self._finish(job.id)
        return time.perf_counter() - began

    def _finish(self, job_id: str) -> None:
        if (state := self._client.jobs.wait(job_id).state) != "SUCCEEDED":
            raise RuntimeError(f"The job ended as {state}.")


class SearchLoad:
    """Asks one question after the other; how long each took."""

    def __init__(self, client: Lectern) -> None:
        self._client = client
        self._questions = queries(1000)

    def idle(self, count: int = 60) -> list[float]:
        return [self._ask(number) for number in range(count)]

    @contextmanager
    def meanwhile(self) -> Iterator[list[float]]:
        """Ask until the context is left, with pauses, so that searching takes little of the machine."""
        took: list[float] = []
        done = threading.Event()

        def ask() -> None:
            while not done.wait(0.25):
                took.append(self._ask(len(took)))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield took
        finally:
            done.set()
            thread.join()

    def _ask(self, number: int) -> float:
        began = time.perf_counter()
        self._client.search(self._questions[number % len(self._questions)], literal=True, limit=10)
        return time.perf_counter() - began


def write_pdfs(folder: Path, count: int) -> list[Path]:
    """PDFs of four pages of prose, some 480 words each."""
    paths = []
    for number in range(count):
        text = " ".join(passages(1, sentences=(250, 250), seed=10_000 + number))
        lines = iter([text[start : start + _PDF_LINE_CHARACTERS] for start in range(0, len(text), _PDF_LINE_CHARACTERS)])
        buffer = io.BytesIO()
        canvas = Canvas(buffer)
        for _ in range(_PDF_PAGES):
            for position, line in zip(range(_PDF_LINES_A_PAGE), lines, strict=False):
                canvas.drawString(56, 780 - 14 * position, line)
            canvas.showPage()
        canvas.save()
        paths.append(folder / f"report{number}.pdf")
        paths[-1].write_bytes(buffer.getvalue())
    return paths


def measure(client: Lectern, peers: Sequence[Peer], size: Size, folder: Path) -> tuple[dict[str, Seconds], float]:
    """Every contender in turn, round after round; and the seconds of a second ingest of the same bytes."""
    results = {name: Seconds() for name in ("Lectern", *(peer.name for peer in peers))}
    again = []
    Library(client, "warm").ingest_texts(passages(10, seed=1))
    for number in range(size.rounds):
        texts, pdfs = abstracts(size, number), write_pdfs(folder, size.pdfs)
        library, ours = Library(client, f"round{number}"), results["Lectern"]
        ours.abstracts.append(library.ingest_texts(texts))
        again.append(library.ingest_texts(texts))
        ours.pdfs.append(library.ingest_files(pdfs))
        for peer in peers:
            theirs = results[peer.name]
            seconds, theirs.passages = peer.run(texts=texts)
            theirs.abstracts.append(seconds)
            theirs.pdfs.append(peer.run(pdfs=[str(path) for path in pdfs])[0])
    return results, statistics.median(again)


def abstracts(size: Size, number: int) -> list[str]:
    """Abstracts of 100 to 200 tokens, others in each round."""
    return passages(size.abstracts, sentences=(4, 8), seed=number + 2)


async def embedder_rate(texts: Sequence[str], rounds: int) -> float:
    """Texts a second of the embedder alone, over gRPC."""
    rates = []
    async with Service.running(PACKAGED_MODEL) as service:
        await service.embed(texts[:50])
        for _ in range(rounds):
            began = time.perf_counter()
            await service.embed(texts)
            rates.append(len(texts) / (time.perf_counter() - began))
    return statistics.median(rates)


def percentile95(seconds: Sequence[float]) -> float:
    return 1e3 * statistics.quantiles(seconds, n=20)[-1]


def report(results: dict[str, Seconds], size: Size, rate: float, again: float, searching: tuple[float, float]) -> Figures:
    ours = results["Lectern"]
    rows = []
    figures: Figures = {}
    for name, seconds in results.items():
        texts, pages = statistics.median(seconds.abstracts), statistics.median(seconds.pdfs)
        slower = [statistics.median(a / b for a, b in zip(theirs, mine, strict=True)) for theirs, mine in
                  ((seconds.abstracts, ours.abstracts), (seconds.pdfs, ours.pdfs))]  # fmt: skip
        rows.append(
            [
                name,
                f"{size.abstracts / texts:.1f}",
                f"{size.pdfs * _PDF_PAGES / pages:.1f}",
                f"{slower[0]:.1f}",
                f"{slower[1]:.1f}",
            ]
        )
        figures |= {f"{name}.abstracts_per_second": size.abstracts / texts, f"{name}.pdf_pages_per_second": size.pdfs * _PDF_PAGES / pages}
        figures |= {f"{name}.times_our_time_abstracts": slower[0], f"{name}.times_our_time_pdfs": slower[1]}
    columns = ["", "abstracts/s", "PDF pages/s", "times our time, abstracts", "times our time, PDFs"]
    print_table(f"{size.abstracts} abstracts and {size.pdfs} PDFs of {_PDF_PAGES} pages, until searchable", columns, rows)
    share = size.abstracts / statistics.median(ours.abstracts) / rate
    once = statistics.median(ours.abstracts) / again
    idle, busy = searching
    print(f"\nOf the embedder's own {rate:.0f} texts/s: {share:.0%}. The same bytes again: {once:.0f} times faster.")
    print(f"Search p95: {idle:.0f} ms idle, {busy:.0f} ms while ingesting, {busy / idle:.1f} times.")
    return figures | {
        "share_of_embedder_rate": share,
        "second_ingest_times_faster": once,
        "search_p95_idle_ms": idle,
        "search_p95_ingesting_ms": busy,
    }


def run(size: Size, peers_python: Path | None) -> Figures:
    rate = asyncio.run(embedder_rate(abstracts(size, 0), size.rounds))
    peers = [Peer(peers_python, name) for name in _PEERS] if peers_python else []
    try:
        with tempfile.TemporaryDirectory() as folder, laptop_stack(Path(folder) / "home") as client:
            results, again = measure(client, peers, size, Path(folder))
            load, library = SearchLoad(client), Library(client, "busy")
            idle = percentile95(load.idle())
            with load.meanwhile() as took:
                library.ingest_texts(passages(2 * size.abstracts, sentences=(4, 8), seed=77))
            return report(results, size, rate, again, (idle, percentile95(took)))
    finally:
        for peer in peers:
            peer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer documents, one round: about two minutes")
    parser.add_argument("--json", type=Path, help="write {figure: value} there")
    parser.add_argument("--peers-python", type=Path, help="interpreter that has the peers installed")
    arguments = parser.parse_args()
    write_figures(arguments.json, run(QUICK if arguments.quick else FULL, arguments.peers_python))


if __name__ == "__main__":
    main()
