"""What the gateway adds to a search, and how it serves metadata.

    python bench/gateway.py [--quick] [--json PATH]

Starts a laptop stack of its own and talks to it over HTTP from threads, each with a connection of its own. The gateway's overhead is what a
caller waits for an answer, less what the embedder says that it needed; it holds authentication, the query's reading, the join with the
documents and everything on the wire. Metadata is asked for at a fixed rate, whether earlier answers are there or not, and a request's time
counts from when it was due.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.measuring import print_table, write_figures
from bench.stack import LaptopStack, laptop_stack
from bench.texts import passages, queries

CALLERS = 20
GETS_PER_SECOND = 300
GET_THREADS = 30
COLLECTION = "bench"
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    passages: int
    searches: int
    searches_each: int
    get_seconds: int


FULL = Size(passages=5000, searches=500, searches_each=50, get_seconds=30)
QUICK = Size(passages=500, searches=200, searches_each=20, get_seconds=10)


class Caller:
    """One connection to the gateway."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """The answer's body.

        Raises:
            RuntimeError: it is no success.
        """
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:  # success, as HTTP counts
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:200]!r}")
        return answer


@dataclass(frozen=True, slots=True)
class Searched:
    """One search, in milliseconds: what the caller waited, and of that the gateway's, the embedder's and the library's shares."""

    waited: float
    gateway: float
    index: float
    library: float


def search(caller: Caller, query: str) -> Searched:
    started = time.perf_counter()
    answer = caller.ask("POST", "/api/v1/search", {"query": query, "collections": [COLLECTION], "literal": True})
    waited = (time.perf_counter() - started) * 1000
    timings = json.loads(answer)["timings_ms"]
    return Searched(waited, timings["total"], timings["index"], timings["library"])


def searches(connect: Callable[[], Caller], callers: int, each: int) -> list[Searched]:
    """What ``callers`` at once see, each of whom searches again when it has its answer."""
    asked = queries(callers * each)
    begin = threading.Barrier(callers)

    def run(number: int) -> list[Searched]:
        caller = connect()
        search(caller, asked[number])
        begin.wait()
        return [search(caller, query) for query in asked[number::callers]]

    with ThreadPoolExecutor(callers) as pool:
        return [one for found in pool.map(run, range(callers)) for one in found]


def gets(connect: Callable[[], Caller], paths: list[str], *, seconds: int) -> list[float]:
    """Milliseconds from when each request was due until its answer was there."""
    begins = time.perf_counter() + 1.0

    def run(number: int) -> list[float]:
        caller = connect()
        waited: list[float] = []
        for turn in range(number, GETS_PER_SECOND * seconds, GET_THREADS):
            due = begins + turn / GETS_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            caller.ask("GET", paths[turn % len(paths)])
            waited.append((time.perf_counter() - due) * 1000)
        return waited

    with ThreadPoolExecutor(GET_THREADS) as pool:
        return [one for waited in pool.map(run, range(GET_THREADS)) for one in waited]


def measure(stack: LaptopStack, key: str, size: Size) -> dict[str, list[float]]:
    """Milliseconds of every request, by what was asked and what is counted."""

    def connect() -> Caller:
        return Caller(stack.client.url, key)

    stack.client.collections.create(COLLECTION)
    texts = passages(size.passages, sentences=(3, 8))
    taken = stack.client.documents.create_batch(COLLECTION, [{"id": f"{number}", "text": text} for number, text in enumerate(texts)])
    stack.client.jobs.wait(taken.job.id)
    documents = [document.id for document, _ in zip(stack.client.documents.list(COLLECTION, page_size=200), range(200), strict=False)]
    measured: dict[str, list[float]] = {}
    for callers, each in ((1, size.searches), (CALLERS, size.searches_each)):
        found = searches(connect, callers, each)
        who = f"{callers} searching" if callers > 1 else "one searching"
        measured[f"{who}: waited"] = [one.waited for one in found]
        measured[f"{who}: the embedder's share"] = [one.index for one in found]
        measured[f"{who}: overhead"] = [one.waited - one.index for one in found]
        measured[f"{who}: of that, waiting for the library"] = [one.library for one in found]
        measured[f"{who}: of that, before and after the search"] = [one.waited - one.gateway for one in found]
    paths = [f"/api/v1/documents/{one}" for one in documents]
    measured[f"{GETS_PER_SECOND} documents read a second"] = gets(connect, paths, seconds=size.get_seconds)
    return measured


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, laptop_stack(Path(folder) / "home") as stack:
        measured = measure(stack, (Path(folder) / "home" / "admin.key").read_text().strip(), QUICK if chosen.quick else FULL)
    figures = {
        f"{name}, p{share}": float(np.percentile(milliseconds, share)) for name, milliseconds in measured.items() for share in PERCENTILES
    }
    rows = [(name, *(f"{figures[f'{name}, p{share}']:.1f}" for share in PERCENTILES)) for name in measured]
    print_table("The gateway, in milliseconds", ("", *(f"p{share}" for share in PERCENTILES)), rows)
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
