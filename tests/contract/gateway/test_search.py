from __future__ import annotations

from typing import Any

import httpx
import pytest

from lectern.embedder.v1 import index_pb2
from lectern.ingestor.v1 import collections_pb2, passages_pb2
from shared.errors import AppError, Status
from tests.contract.gateway.back_services import World


def fill(world: World, count: int, *, hidden: int = 0) -> None:
    """An index of ``count`` passages, of which the library no longer shows the first ``hidden``."""
    for number in range(count):
        hit = index_pb2.SearchHit(passage_id=f"p{number}", document_id=f"d{number}", score=1 / (1 + number), lexical_score=3.5)
        if number % 2:
            hit.dense_score = 0.25
        world.ranking.append(hit)
        if number >= hidden:
            passage = passages_pb2.Passage(
                passage_id=f"p{number}",
                document_id=f"d{number}",
                document_name=f"{number}.pdf",
                document_type="pdf",
                external_id="row-1" if number == hidden else "",
                collection_id="col_0",
                collection_name="handbook",
                text=f"Text {number}.",
                page=number,
                headings=["Leave", "How much"],
                uri="https://example.org/x#leave" if number == hidden else "",
            )
            passage.metadata.update({"team": "people", "year": 2024})
            world.passages[passage.passage_id] = passage


async def test_a_hit_says_where_it_stands_and_why(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 2)
    response = await client.post("/api/v1/search", json={"query": "leave"})
    body = response.json()
    first, second = body["hits"]
    assert first == {
        "passage_id": "p0",
        "document_id": "d0",
        "document_name": "0.pdf",
        "document_type": "pdf",
        "external_id": "row-1",
        "collection_id": "col_0",
        "collection_name": "handbook",
        "text": "Text 0.",
        "page": None,
        "uri": "https://example.org/x#leave",
        "headings": ["Leave", "How much"],
        "score": 1.0,
        "scores": {"dense": None, "lexical": 3.5, "rerank": None},
        "metadata": {"team": "people", "year": 2024},
        "explanation": None,
    }
    assert (second["page"], second["uri"], second["external_id"], second["scores"]["dense"]) == (1, None, None, 0.25)
    assert set(body["timings_ms"]) == {"embed", "analyse", "retrieve", "fuse", "index", "library", "total"}
    assert body["timings_ms"]["embed"] == 2
    assert body["trace_id"] == response.headers["X-Request-Id"] == world.request_ids[-1]


async def test_an_explained_search_says_why_each_hit_stands_where_it_stands(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 2)
    body = (await client.post("/api/v1/search", json={"query": "texts type:pdf -author:ann", "explain": True})).json()
    assert body["explanation"] == {"dense_weight": 0.25, "lexical_weight": 0.75, "words": [{"text": "texts", "terms": ["text"]}]}
    assert [hit["explanation"] for hit in body["hits"]] == [
        {
            "dense_share": 0.1,
            "lexical_share": 0.9,
            "matched_terms": [
                {"word": "texts", "terms": ["text"], "count": 2, "score": 3.5, "in_text": [{"text": "Text", "start": 0, "end": 4}]}
            ],
            "filter_clauses": ["type:pdf"],
        }
    ] * 2
    assert [text.text for text in world.requests["LocateTerms"][0].texts] == ["Text 0.", "Text 1."]
    assert body["timings_ms"]["explain"] > 2
    plain = (await client.post("/api/v1/search", json={"query": "texts"})).json()
    assert (plain["explanation"], plain["hits"][0]["explanation"]) == (None, None)
    assert "explain" not in plain["timings_ms"]


async def test_hits_are_grouped_when_that_is_asked_for(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 2)
    body = (await client.post("/api/v1/search", json={"query": "leave", "group": True})).json()
    assert body["groups"] == [
        {
            "document_id": f"d{number}",
            "document_name": f"{number}.pdf",
            "score": body["hits"][number]["score"],
            "sections": [{"headings": ["Leave", "How much"], "passage_ids": [f"p{number}"]}],
        }
        for number in range(2)
    ]
    assert (await client.post("/api/v1/search", json={"query": "leave"})).json()["groups"] is None


async def test_what_the_library_hides_is_refilled_from_further_candidates(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 60, hidden=4)
    hits = (await client.post("/api/v1/search", json={"query": "leave", "limit": 10})).json()["hits"]
    assert [hit["passage_id"] for hit in hits] == [f"p{number}" for number in range(4, 14)]
    assert [(request.offset, request.limit) for request in world.requests["Search"]] == [(0, 10), (10, 20)]


async def test_a_thousand_hits_keep_their_order(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 1000)
    hits = (await client.post("/api/v1/search", json={"query": "leave", "limit": 1000})).json()["hits"]
    assert [hit["passage_id"] for hit in hits] == [f"p{number}" for number in range(1000)]
    assert all(len(request.passage_ids) <= 200 for request in world.requests["BatchGetPassages"])


async def test_collections_and_filter_reach_the_index(client: httpx.AsyncClient, world: World) -> None:
    await client.post("/api/v1/collections", json={"name": "handbook"})
    body = {"query": "leave", "collections": ["handbook"], "filter": {"type": "pdf", "metadata.year": {"$gte": 2020}}}
    assert (await client.post("/api/v1/search", json=body)).status_code == 200
    request = world.requests["Search"][0]
    assert list(request.collection_ids) == ["col_0"]
    kind, year = request.filter.all_of.filters
    assert (kind.comparison.field, kind.comparison.values[0].string_value) == ("type", "pdf")
    assert (year.comparison.field, year.comparison.values[0].number_value) == ("metadata.year", 2020)


async def test_conditions_in_the_query_reach_the_index_and_its_words_alone_are_searched(client: httpx.AsyncClient, world: World) -> None:
    await client.post("/api/v1/collections", json={"name": "handbook"})
    body = {"query": "how much leave? collection:handbook -type:(pdf docx)", "filter": {"author": "ann"}}
    assert (await client.post("/api/v1/search", json=body)).status_code == 200
    request = world.requests["Search"][0]
    assert request.query == "how much leave?"
    collection, kind, author = request.filter.all_of.filters
    assert (collection.comparison.field, collection.comparison.values[0].string_value) == ("collection_id", "col_0")
    assert [value.string_value for value in kind.none_of.comparison.values] == ["pdf", "docx"]
    assert author.comparison.field == "author"


async def test_a_quoted_phrase_stands_in_every_hit_and_an_excluded_word_in_none(client: httpx.AsyncClient, world: World) -> None:
    fill(world, 30)
    hits = (await client.post("/api/v1/search", json={"query": '"text 7" OR "text 8" -8'})).json()["hits"]
    assert [hit["passage_id"] for hit in hits] == ["p7", "p8"]
    hits = (await client.post("/api/v1/search", json={"query": 'words NOT "text 0" -"text 1"', "limit": 2})).json()["hits"]
    assert [hit["passage_id"] for hit in hits] == ["p2", "p3"]


async def test_a_collection_of_another_organisation_does_not_exist(client: httpx.AsyncClient, world: World) -> None:
    world.collections["another", "theirs"] = collections_pb2.Collection(collection_id="col_9", name="theirs")
    for name in ("theirs", "col_9"):
        problem = (await client.post("/api/v1/search", json={"query": "x", "collections": [name]})).json()
        assert (problem["status"], problem["reason"], problem["metadata"]) == (404, "COLLECTION_NOT_FOUND", {"collection": name})


@pytest.mark.parametrize("mode", ["text", "auto"])
async def test_text_and_auto_search_passages(client: httpx.AsyncClient, world: World, mode: str) -> None:
    fill(world, 1)
    response = await client.post("/api/v1/search", json={"query": "-x type:pdf", "mode": mode, "literal": True, "filter": {}})
    assert len(response.json()["hits"]) == 1
    request = world.requests["Search"][0]
    assert (request.query, request.mode, request.HasField("filter")) == ("-x type:pdf", index_pb2.SEARCH_MODE_HYBRID, False)


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        ({}, "INVALID_REQUEST", "body.query"),
        ({"query": ""}, "INVALID_REQUEST", "body.query"),
        ({"query": "  \n"}, "INVALID_REQUEST", "body.query"),
        ({"query": "x" * 10_001}, "INVALID_REQUEST", "body.query"),
        ({"query": 7}, "INVALID_REQUEST", "body.query"),
        ({"query": "x", "limit": 0}, "INVALID_REQUEST", "body.limit"),
        ({"query": "x", "limit": 1001}, "INVALID_REQUEST", "body.limit"),
        ({"query": "x", "limit": 2.5}, "INVALID_REQUEST", "body.limit"),
        ({"query": "x", "colections": ["a"]}, "INVALID_REQUEST", "body.colections"),
        ({"query": "x", "collections": "a"}, "INVALID_REQUEST", "body.collections"),
        ({"query": "x", "collections": ["a"] * 101}, "INVALID_REQUEST", "body.collections"),
        ({"query": "x", "mode": "images"}, "INVALID_REQUEST", "body.mode"),
        ({"query": "x", "mode": "pages"}, "MODE_NOT_AVAILABLE", "body.mode"),
        ({"query": "x autor:ann"}, "UNKNOWN_FILTER_FIELD", "body.query"),
        ({"query": "x created:soon"}, "FILTER_INVALID", "body.query"),
        ({"query": "type:pdf"}, "QUERY_WITHOUT_WORDS", "body.query"),
        ({"query": "x " + "type:pdf " * 90, "filter": {"$or": [{"create_time": "2024"}] * 70}}, "FILTER_TOO_LARGE", "body.query"),
        ({"query": "x", "filter": []}, "INVALID_REQUEST", "body.filter"),
        ({"query": "x", "filter": {"typ": "pdf"}}, "UNKNOWN_FILTER_FIELD", "filter.typ"),
    ],
)
async def test_a_wrong_search_is_refused_by_field(
    client: httpx.AsyncClient, world: World, body: dict[str, Any], reason: str, field: str
) -> None:
    response = await client.post("/api/v1/search", json=body)
    problem = response.json()
    assert (response.status_code, problem["reason"], problem["errors"][0]["field"]) == (400, reason, field)
    assert world.requests["Search"] == []


async def test_an_unknown_field_is_told_the_nearest(client: httpx.AsyncClient) -> None:
    problem = (await client.post("/api/v1/search", json={"query": "x", "colections": ["a"]})).json()
    assert "'collections'" in problem["errors"][0]["message"]


async def test_a_busy_embedder_is_429_with_its_own_retry_after(client: httpx.AsyncClient, world: World) -> None:
    world.failures["Search"] = AppError("EMBEDDER_BUSY", Status.RESOURCE_EXHAUSTED, "Full.", retry_after_seconds=2.2)
    response = await client.post("/api/v1/search", json={"query": "x"})
    assert (response.status_code, response.headers["Retry-After"], response.json()["reason"]) == (429, "3", "EMBEDDER_BUSY")
