"""Thousands of texts in one request, and searches over them."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from tests.e2e.conftest import Organisation

SUBJECTS = (
    "alloy",
    "aquifer",
    "battery",
    "bridge",
    "catalyst",
    "comet",
    "enzyme",
    "glacier",
    "graph",
    "lattice",
    "membrane",
    "neuron",
    "polymer",
    "protein",
    "reef",
    "sensor",
)
PROPERTIES = (
    "conductivity",
    "decay",
    "density",
    "diffusion",
    "drift",
    "elasticity",
    "entropy",
    "fatigue",
    "growth",
    "noise",
    "porosity",
    "salinity",
    "strain",
    "toxicity",
)
VERBS = (
    "bounds",
    "couples",
    "delays",
    "dominates",
    "inhibits",
    "limits",
    "mediates",
    "predicts",
    "raises",
    "shifts",
    "stabilises",
    "tracks",
)


def abstract(number: int, words: int = 120) -> str:
    """Prose of about ``words`` words that no other number gives, with one rare name in it."""
    draw = random.Random(number)
    sentences = [f"We report on specimen qx{number:05d}."]
    while sum(len(sentence.split()) for sentence in sentences) < words:
        sentences.append(
            f"The {draw.choice(PROPERTIES)} of the {draw.choice(SUBJECTS)} {draw.choice(VERBS)} the {draw.choice(PROPERTIES)} "
            f"of a nearby {draw.choice(SUBJECTS)} by {draw.randint(2, 98)} percent in {draw.randint(3, 60)} trials.",
        )
    return " ".join(sentences)


@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_abstracts_of_one_request_become_searchable_by_their_external_ids(organisation: Organisation, count: int) -> None:
    organisation.create_collection("abstracts")
    entries = [{"id": f"a-{number}", "name": f"Abstract {number}", "text": abstract(number)} for number in range(count)]
    began = time.perf_counter()
    job = organisation.batch("abstracts", entries)
    ended = organisation.wait_for_job(job["id"], seconds=600)
    first_seconds = time.perf_counter() - began
    assert (ended["state"], ended["total"], ended["done"], ended["failures"]) == ("SUCCEEDED", count, count, [])
    collection = organisation.client.get("/api/v1/collections/abstracts").json()
    assert collection["document_count"] == count
    assert collection["passage_count"] >= count

    hits = organisation.search("salinity of the reef", collections=["abstracts"], limit=100).json()["hits"]
    assert len(hits) == 100
    assert {hit["external_id"] for hit in hits} <= {entry["id"] for entry in entries}
    assert len({hit["passage_id"] for hit in hits}) == 100
    for number in (7, count // 2, count - 1):
        found = organisation.search(f"specimen qx{number:05d}", collections=["abstracts"]).json()["hits"]
        assert found[0]["external_id"] == f"a-{number}"

    began = time.perf_counter()
    job = organisation.batch("abstracts", entries)
    again = organisation.wait_for_job(job["id"], seconds=60)
    again_seconds = time.perf_counter() - began
    assert (again["state"], again["done"], again["embedded"]) == ("SUCCEEDED", count, 0)
    assert again_seconds < first_seconds / 5
    print(f"\n{count:,} abstracts: {first_seconds:.1f} s; the same again: {again_seconds:.2f} s, 0 embedded")  # noqa: T201  # a figure to read

    seconds = []
    for number in range(40):
        began = time.perf_counter()
        assert (
            organisation.search(f"{SUBJECTS[number % 16]} {PROPERTIES[number % 14]} trials", collections=["abstracts"]).status_code == 200
        )
        seconds.append(time.perf_counter() - began)
    print(f"\n/search over {count:,} abstracts: p50 {statistics.median(seconds) * 1000:.0f} ms")  # noqa: T201  # a figure to read, not to assert
