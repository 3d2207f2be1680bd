"""Explanations, groups, filters, neighbours and history, through the whole stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Organisation, Stack

MANUAL = """# Pumps

## Starting

Open the inlet valve before the pumps are started.

## Stopping

Close the outlet valve when the pump stops. Error ERR-4012 means that it was forgotten.
"""
# Each section is a passage of its own.
SHORT = {"settings": {"passage_tokens": 30}}
LEAVE = "# Leave\n\nEmployees earn two days of paid leave for each month of work.\n"


@pytest.fixture
def filled(organisation: Organisation) -> Organisation:
    response = organisation.client.post("/api/v1/collections", json={"name": "handbook", "metadata": {"owner": "ann"}, **SHORT})
    assert response.status_code == 201, response.text
    for name, text, metadata in (
        ("manual.md", MANUAL, {"team": "works", "year": 2024}),
        ("leave.md", LEAVE, {"team": "people", "tags": ["leave", "pay"]}),
    ):
        body = {"text": text, "name": name, "metadata": metadata}
        made = organisation.client.post("/api/v1/collections/handbook/documents", params={"wait": "true"}, json=body)
        assert made.json()["state"] == "READY", made.text
    return organisation


def names(organisation: Organisation, **body: Any) -> list[str]:
    response = organisation.client.post("/api/v1/filter", json=body)
    assert response.status_code == 200, response.text
    return [document["name"] for document in response.json()["items"]]


def test_a_hit_is_explained_grouped_and_read_with_its_neighbours(filled: Organisation) -> None:
    query = "what does ERR-4012 mean for pumps? collection:handbook metadata.year>2000 OR has:tags"
    result = filled.search(query, explain=True, group=True, limit=5).json()
    best = result["hits"][0]
    why = best["explanation"]
    assert best["document_name"] == "manual.md"
    assert why["dense_share"] + why["lexical_share"] == pytest.approx(best["score"])
    assert sum(term["score"] for term in why["matched_terms"]) == pytest.approx(best["scores"]["lexical"])
    written = {span["text"] for term in why["matched_terms"] for span in term["in_text"]}
    assert "ERR-4012" in written
    assert all(best["text"][span["start"] : span["end"]] == span["text"] for term in why["matched_terms"] for span in term["in_text"])
    assert why["filter_clauses"] == ["collection:handbook", "metadata.year>2000"]
    other = next(hit for hit in result["hits"] if hit["document_name"] == "leave.md")
    assert other["explanation"]["filter_clauses"] == ["collection:handbook", "has:tags"]
    assert {"embed", "retrieve", "explain", "library", "total"} <= result["timings_ms"].keys()
    manual = result["groups"][0]
    assert manual["document_name"] == "manual.md"
    assert manual["sections"][0]["passage_ids"][0] == best["passage_id"]
    assert manual["sections"][0]["headings"] == ["Pumps", "Stopping"]
    around = filled.client.get(f"/api/v1/passages/{best['passage_id']}", params={"around": 5}).json()
    ordinals = [passage["ordinal"] for passage in (*around["before"], around, *around["after"])]
    assert ordinals == list(range(len(ordinals)))
    assert len(ordinals) > 1
    assert {passage["document_id"] for passage in around["before"]} <= {best["document_id"]}


def test_documents_are_found_by_filters_alone(filled: Organisation) -> None:
    assert names(filled) == ["manual.md", "leave.md"]
    assert names(filled, query="type:md metadata.team:people") == ["leave.md"]
    assert names(filled, query="-metadata.year>2000") == ["leave.md"]
    assert names(filled, query="collection_metadata.owner:ann updated:1h", filter={"metadata": {"$has_key": "year"}}) == ["manual.md"]
    assert names(filled, filter={"metadata": {"$contains": {"tags": ["pay"]}}}) == ["leave.md"]
    assert names(filled, filter={"$or": [{"metadata": {"$contained_by": {"team": "works", "year": 2024}}}, {"type": "pdf"}]}) == [
        "manual.md"
    ]
    assert names(filled, filter={"collection_metadata.owner": {"$ne": "ann"}}) == []
    first = filled.client.post("/api/v1/filter", json={"query": "updated:1h", "page_size": 1}).json()
    second = filled.client.post("/api/v1/filter", json={"query": "updated:1h", "page_size": 1, "page_token": first["next_page_token"]})
    assert [each["name"] for each in (*first["items"], *second.json()["items"])] == ["manual.md", "leave.md"]
    # A search and a filter mean the same by a negation.
    assert {hit["document_name"] for hit in filled.search("leave -metadata.year:2024").json()["hits"]} == {"leave.md"}


def test_the_command_line_explains_filters_and_remembers(stack: Stack, filled: Organisation) -> None:
    key = filled.client.headers["Authorization"].removeprefix("Bearer ")
    place = ("--url", stack.url, "--key", key)
    printed = stack.lectern("search", "pumps valve", "--explain", "--group", *place).stdout
    assert "Pumps › Starting" in printed
    assert "by meaning" in printed
    assert "pumps → pump" in printed
    stack.lectern("search", "salaries of all", "--no-history", *place)
    found = json.loads(stack.lectern("filter", "has:tags", "--json", *place).stdout)
    assert [document["name"] for document in found] == ["leave.md"]
    history = json.loads(stack.lectern("history", "--json", *place).stdout)
    assert [(search["query"], search["request"]["explain"]) for search in history] == [("pumps valve", True)]
    stack.lectern("history", "--clear", "--yes", *place)
    assert json.loads(stack.lectern("history", "--json", *place).stdout) == []
