"""What `lectern search` and `lectern filter` show and send."""

from __future__ import annotations

from typing import Any

from tests.unit.client.conftest import Gateway, Reply, answer, document, hit, ok
from tests.unit.client.test_cli import Lectern, lectern

__all__ = ["lectern"]

EXPLANATION: dict[str, Any] = {
    "dense_share": 0.5,
    "lexical_share": 0.25,
    "matched_terms": [
        {
            "word": "leaves",
            "terms": ["leav"],
            "count": 3,
            "score": 1.25,
            "in_text": [{"text": "leave", "start": 0, "end": 5}, {"text": "leave", "start": 9, "end": 14}],
        },
        {"word": "handbook", "terms": ["handbook"], "count": 1, "score": 0.5, "in_text": []},
    ],
    "filter_clauses": ["type:pdf", "-author:ann"],
}


def test_an_explained_search_says_what_each_hit_has_and_how_it_was_weighed(gateway: Gateway, lectern: Lectern) -> None:
    explanation = {"dense_weight": 0.6, "lexical_weight": 0.4, "words": [{"text": "leaves", "terms": ["leav"]}]}
    found = {"hits": [hit(explanation=EXPLANATION)], "explanation": explanation, "timings_ms": {"embed": 2.5, "explain": 1}}
    gateway.on("POST", "/api/v1/search", ok(found))
    ran = lectern("search", "leaves", "--explain", "--literal")
    assert gateway.requests[0].json == {"query": "leaves", "limit": 10, "literal": True, "explain": True}
    for line in (
        "score: 0.500 by meaning + 0.250 by words",
        "leaves → leav: leave (×3, +1.25)",
        "handbook → handbook: in its name or headings alone (×1, +0.50)",
        "holds: type:pdf · -author:ann",
        "weighed: meaning 0.60, words 0.40",
        "milliseconds: embed 2.5, explain 1.0",
    ):
        assert line in ran.out


def test_a_grouped_search_shows_document_then_section_then_passage(gateway: Gateway, lectern: Lectern) -> None:
    hits = [
        hit("First.", passage_id="a"),
        hit("Other.", passage_id="b", document_name="other.pdf"),
        hit("Second.", passage_id="c", page=None),
    ]
    groups = [
        {
            "document_id": "d",
            "document_name": "handbook.pdf",
            "score": 0.9,
            "sections": [{"headings": ["Leave", "How much"], "passage_ids": ["a"]}, {"headings": [], "passage_ids": ["c"]}],
        },
        {"document_id": "e", "document_name": "other.pdf", "score": 0.5, "sections": [{"headings": [], "passage_ids": ["b"]}]},
    ]
    gateway.on("POST", "/api/v1/search", ok({"hits": hits, "groups": groups}))
    ran = lectern("search", "leave", "--group")
    assert gateway.requests[0].json["group"] is True
    lines = [line.strip() for line in ran.out.splitlines() if line.strip()]
    texts = [line for line in lines if line.endswith(".")]
    assert texts == ["First.", "Second.", "Other."]
    assert lines.index("Leave › How much") < lines.index("First.")
    assert any(line.startswith("3.") for line in lines)


def test_filter_sends_its_conditions_and_prints_what_every_page_holds(gateway: Gateway, lectern: Lectern) -> None:
    first = ok({"items": [document(name="a.pdf")], "next_page_token": "t2"})
    gateway.on("POST", "/api/v1/filter", first, ok({"items": [document(name="b.pdf")], "next_page_token": None}))
    ran = lectern("filter", "type:pdf", "updated:7d", "--filter", '{"author": "ann"}', "-c", "handbook")
    assert "a.pdf" in ran.out
    assert "b.pdf" in ran.out
    sent = {"query": "type:pdf updated:7d", "filter": {"author": "ann"}, "collections": ["handbook"]}
    assert [request.json for request in gateway.requests] == [sent, {**sent, "page_token": "t2"}]


def test_filter_stops_asking_at_its_limit_and_takes_a_minus_behind_dashes(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/filter", ok({"items": [document(name="a.pdf"), document(name="b.pdf")], "next_page_token": "t2"}))
    ran = lectern("filter", "--json", "--limit", "1", "--", "-type:pdf")
    assert [found["name"] for found in ran.json] == ["a.pdf"]
    assert [request.json for request in gateway.requests] == [{"query": "-type:pdf"}]


def test_a_literal_question_is_sent_as_one(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/ask", ok(answer("Yes.")))
    assert lectern("ask", "what is type:pdf?", "--literal").code == 0
    assert gateway.requests[0].json == {"question": "what is type:pdf?", "literal": True}


PAST = {"id": "s1", "query": "notice period", "hit_count": 3, "total_ms": 12.4, "create_time": "2026-11-20T12:00:00Z"}


def test_history_shows_what_was_searched_for(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("GET", "/api/v1/search-history", ok({"items": [PAST], "next_page_token": "more"}))
    ran = lectern("history", "--limit", "1")
    assert "notice period" in ran.out
    assert len(gateway.requests) == 1


def test_history_is_forgotten_when_that_is_confirmed(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("DELETE", "/api/v1/search-history", Reply(204))
    assert "forgotten" in lectern("history", "--clear", "--yes").err
    assert lectern("history", "--clear", "--yes", "--json").json == {"cleared": True}


def test_a_search_may_be_kept_out_of_the_history(gateway: Gateway, lectern: Lectern) -> None:
    gateway.on("POST", "/api/v1/search", ok({"hits": [hit()]}))
    assert lectern("search", "secret plans", "--no-history").code == 0
    assert gateway.requests[0].json["history"] is False
