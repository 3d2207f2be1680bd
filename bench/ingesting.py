"""Who takes documents in for `bench/ingest.py`, our own stack over HTTP and others' pipelines, and what they are given."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reportlab.pdfgen.canvas import Canvas

from bench.stack import LaptopStack
from bench.texts import passages, queries
from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL, model_folder

PASSAGE_TOKENS = 200
PDF_PAGES = 4
_PDF_LINE_CHARACTERS = 75
_PDF_LINES_A_PAGE = 40
# As many as `lectern ingest` sends at once.
_UPLOADS_AT_ONCE = 4
_SEARCH_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run took, in seconds; ``cpu`` is of all the processes that worked on it."""

    wall: float
    cpu: float


class Contender(Protocol):
    """Makes documents searchable."""

    name: str

    def ingest_texts(self, texts: Sequence[str]) -> Spent: ...

    def ingest_files(self, paths: Sequence[Path]) -> Spent: ...


class Ours:
    """A collection of a running stack."""

    name = "Lectern"

    def __init__(self, stack: LaptopStack, collection: str) -> None:
        self._stack = stack
        self._client = stack.client
        self._collection = collection
        self._client.collections.create(collection, settings={"passage_tokens": PASSAGE_TOKENS})

    def ingest_texts(self, texts: Sequence[str]) -> Spent:
        """From the request to the last document being searchable; so is `ingest_files`."""
        entries = ({"id": f"a{number}", "name": f"Abstract {number}", "text": text} for number, text in enumerate(texts))
        return self._measured(lambda: self._finish(self._client.documents.create_batch(self._collection, entries).job.id))

    def ingest_files(self, paths: Sequence[Path]) -> Spent:
        def upload(path: Path) -> str:
            return self._client.documents.upload(self._collection, path).job.id

        def work() -> None:
            with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as uploads:
                for job_id in uploads.map(upload, paths):
                    self._finish(job_id)

        return self._measured(work)

    def _measured(self, work: Callable[[], None]) -> Spent:
        began, cpu = time.perf_counter(), sum(self._stack.cpu_seconds().values())
        work()
        return Spent(time.perf_counter() - began, sum(self._stack.cpu_seconds().values()) - cpu)

    def _finish(self, job_id: str) -> None:
        if (state := self._client.jobs.wait(job_id).state) != "SUCCEEDED":
            raise RuntimeError(f"The job ended as {state}.")


class Peer:
    """One of `bench/pipelines.py` in its own process."""

    def __init__(self, python: Path, name: str) -> None:
        self.name = name
        command = [str(python), str(Path(__file__).with_name("pipelines.py")), name, str(model_folder(PACKAGED_MODEL))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.ingest_texts(passages(10))

    def ingest_texts(self, texts: Sequence[str]) -> Spent:
        return self._run(texts=texts)

    def ingest_files(self, paths: Sequence[Path]) -> Spent:
        return self._run(pdfs=[str(path) for path in paths])

    def _run(self, **request: Sequence[str]) -> Spent:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; run bench/pipelines.py {self.name} by hand to see why.")
        reply = json.loads(line)
        return Spent(float(reply["seconds"]), float(reply["cpu_seconds"]))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class SearchLoad:
    """Asks one question after the other, with pauses, so that searching takes little of the machine; how long each took, in seconds."""

    def __init__(self, stack: LaptopStack) -> None:
        self._client = stack.client
        self._questions = queries(1000)

    def idle(self, count: int) -> list[float]:
        took = []
        for number in range(count):
            time.sleep(_SEARCH_PAUSE_SECONDS)
            took.append(self._ask(number))
        return took

    @contextmanager
    def meanwhile(self) -> Iterator[list[float]]:
        """Ask until the context is left."""
        took: list[float] = []
        done = threading.Event()

        def ask() -> None:
            while not done.wait(_SEARCH_PAUSE_SECONDS):
                took.append(self._ask(len(took)))

        with ThreadPoolExecutor(1) as asking:
            asked = asking.submit(ask)
            try:
                yield took
            finally:
                done.set()
            asked.result()

    def _ask(self, number: int) -> float:
        began = time.perf_counter()
        self._client.search(self._questions[number % len(self._questions)], literal=True, limit=10)
        return time.perf_counter() - began


def abstracts(count: int, seed: int) -> list[str]:
    """Abstracts of 100 to 200 tokens."""
    return passages(count, sentences=(4, 8), seed=seed)


def write_pdfs(folder: Path, count: int) -> list[Path]:
    """PDFs of four pages of prose, some 480 words each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        text = " ".join(passages(1, sentences=(250, 250), seed=10_000 + number))
        lines = iter([text[start : start + _PDF_LINE_CHARACTERS] for start in range(0, len(text), _PDF_LINE_CHARACTERS)])
        buffer = io.BytesIO()
        canvas = Canvas(buffer)
        for _ in range(PDF_PAGES):
            for position, line in zip(range(_PDF_LINES_A_PAGE), lines, strict=False):
                canvas.drawString(56, 780 - 14 * position, line)
            canvas.showPage()
        canvas.save()
        paths.append(folder / f"report{number}.pdf")
        paths[-1].write_bytes(buffer.getvalue())
    return paths
