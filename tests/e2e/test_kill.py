"""kill -9 of each service while documents come in: everything comes back, nothing is lost, search never fails with 500."""

from __future__ import annotations

import os
import signal
import threading

import httpx
import pytest

from tests.e2e.conftest import Organisation, Stack, eventually
from tests.e2e.test_batch import abstract

# What the search may answer while a part that it needs is being brought back.
ALLOWED_WHILE_ILL = {200, 503, 504}


class Searcher(threading.Thread):
    """Searches without pause until told to stop; keeps every status it saw."""

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(daemon=True)
        self._organisation = organisation
        self._told_to_stop = threading.Event()
        self.statuses: dict[int, int] = {}
        self.bodies: list[str] = []

    def run(self) -> None:
        while not self._told_to_stop.is_set():
            try:
                response = self._organisation.search("salinity of the reef", collections=["killed"])
            except httpx.TransportError:
                continue  # the gateway itself is away
            self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
            if response.status_code not in ALLOWED_WHILE_ILL:
                self.bodies.append(response.text)

    def stop(self) -> None:
        self._told_to_stop.set()
        self.join(60)


# A killed embedder and Postgres take longest to come back; tests/faults kills them at every step.
SLOW = [pytest.param(service, marks=pytest.mark.slow) for service in ("embedder", "postgres")]


@pytest.mark.parametrize("service", ["gateway", "ingestor", "generator", "milvus", *SLOW])
def test_killing_a_service_while_ingesting_loses_nothing_and_doubles_nothing(
    stack: Stack, organisation: Organisation, service: str
) -> None:
    organisation.create_collection("killed")
    organisation.batch("killed", [{"id": "seed", "text": abstract(1)}])
    entries = [{"id": f"k-{number}", "text": abstract(number, words=60)} for number in range(300)]
    job = organisation.batch("killed", entries)
    searcher = Searcher(organisation)
    searcher.start()
    before = stack.pid(service)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: stack.is_healthy() and stack.pid(service) != before, seconds=90, what=f"{service} is back")
    ended = organisation.wait_for_job(job["id"], seconds=240)
    searcher.stop()

    assert (ended["state"], ended["done"], ended["total"]) == ("SUCCEEDED", 300, 300), ended
    assert searcher.bodies == []
    assert set(searcher.statuses) <= ALLOWED_WHILE_ILL
    collection = organisation.client.get("/api/v1/collections/killed").json()
    assert (collection["document_count"], collection["passage_count"]) == (301, 301)
    hits = organisation.search("percent trials", collections=["killed"], limit=1000).json()["hits"]
    assert len(hits) == len({hit["passage_id"] for hit in hits})
    assert {hit["external_id"] for hit in hits} <= {"seed", *(entry["id"] for entry in entries)}
