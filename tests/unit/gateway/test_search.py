"""Search over an index and a library that hold what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.domain.collections import Collection, CollectionSettings
from gateway.domain.explanation import HitExplanation, MatchedWord, TermSpan
from gateway.domain.passages import Passage
from gateway.domain.query.filters import Filter
from gateway.domain.query.json_filter import compile_filter
from gateway.domain.search import MAX_ROUNDS, Candidate, Candidates, Query, Search
from shared.errors import AppError, Status


def passage(passage_id: str) -> Passage:
    return Passage(passage_id, "d", "D", "md", "", "c", "C", 0, f"text of {passage_id}", None, 0, 1, [], "", "", {})


def collection(collection_id: str, name: str) -> Collection:
    return Collection(collection_id, name, "", {}, CollectionSettings(), 0, 0, None, None)


@dataclass
class RankedIndex:
    """An index that ranks ``ranking`` for every query."""

    ranking: list[str]
    asked: list[tuple[int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    collection_ids: Sequence[str] = ()
    condition: Filter | None = None

    async def search(
        self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int, explain: bool
    ) -> Candidates:
        self.asked.append((offset, limit))
        self.texts.append(text)
        self.collection_ids = collection_ids
        self.condition = condition
        found = self.ranking[offset : offset + limit]
        words = [MatchedWord("texts", ["text"], 1, 3.5)]
        explanation = HitExplanation(0.25, 0.75, words, held_clauses=[0]) if explain else None
        candidates = [Candidate(one, 1.0 / (1 + self.ranking.index(one)), 0.5, None, explanation) for one in found]
        return Candidates(candidates, {"embed": 1.0, "retrieve": 2.0}, offset + limit < len(self.ranking))

    async def locate(self, texts: Sequence[tuple[str, Sequence[str]]]) -> Sequence[Sequence[TermSpan]]:
        return [[TermSpan(term, text.index(term), text.index(term) + len(term)) for term in terms] for text, terms in texts]


@dataclass
class Library:
    """A library in which ``hidden`` passages are deleted; also the collections of the organisation."""

    hidden: set[str] = field(default_factory=set)
    collections: list[Collection] = field(default_factory=list)

    async def get_visible(self, passage_ids: Sequence[str]) -> Sequence[Passage]:
        return [passage(one) for one in passage_ids if one not in self.hidden]

    async def find(self, collections: Sequence[str]) -> Sequence[Collection]:
        return [one for one in self.collections if {one.name, one.collection_id} & set(collections)]


def ids(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


async def found(index: RankedIndex, library: Library, query: Query) -> list[str]:
    result = await Search(index, library, library).run(query)
    return [hit.passage.passage_id for hit in result.hits]


async def test_hits_come_in_the_order_of_the_index() -> None:
    index = RankedIndex(ids(30))
    assert await found(index, Library(), Query("q", limit=10)) == ids(10)
    assert index.asked == [(0, 10)]


async def test_what_the_library_hides_is_dropped_and_refilled() -> None:
    index = RankedIndex(ids(60))
    hidden = {"p0", "p3", "p9"}
    assert await found(index, Library(hidden), Query("q", limit=10)) == [one for one in ids(60) if one not in hidden][:10]
    assert index.asked == [(0, 10), (10, 20)]


async def test_no_passage_is_given_twice_when_the_ranking_shifts_between_rounds() -> None:
    class Shifting(RankedIndex):
        async def search(
            self, text: str, collection_ids: Sequence[str], condition: Filter | None, *, limit: int, offset: int, explain: bool
        ) -> Candidates:
            return await super().search(text, collection_ids, condition, limit=limit, offset=max(0, offset - 3), explain=explain)

    hits = await found(Shifting(ids(60)), Library({"p0", "p1"}), Query("q", limit=10))
    assert len(hits) == len(set(hits)) == 10


async def test_the_rounds_are_bounded_when_nothing_is_visible() -> None:
    index = RankedIndex(ids(5000))
    assert await found(index, Library(set(ids(5000))), Query("q", limit=10)) == []
    assert len(index.asked) == MAX_ROUNDS


async def test_an_exhausted_index_is_not_asked_again() -> None:
    index = RankedIndex(ids(5))
    assert await found(index, Library({"p1"}), Query("q", limit=10)) == ["p0", "p2", "p3", "p4"]
    assert len(index.asked) == 1


async def test_collections_may_be_named_by_id_or_name() -> None:
    index, library = RankedIndex(ids(3)), Library(collections=[collection("c1", "one"), collection("c2", "two"), collection("c3", "three")])
    await found(index, library, Query("q", ["c1", "two"]))
    assert index.collection_ids == ["c1", "c2"]


async def test_an_unknown_collection_is_named() -> None:
    with pytest.raises(AppError) as raised:
        await found(RankedIndex([]), Library(collections=[collection("c1", "one")]), Query("q", ["one", "two"]))
    assert (raised.value.reason, raised.value.status, raised.value.metadata["collection"]) == (
        "COLLECTION_NOT_FOUND",
        Status.NOT_FOUND,
        "two",
    )


async def test_a_phrase_stands_in_the_text_of_every_hit() -> None:
    index = RankedIndex(ids(900))
    condition = compile_filter({"$phrase": "OF p7", "type": "md"})
    assert await found(index, Library(), Query("q", filter=condition)) == ["p7"]
    assert index.condition == compile_filter({"type": "md"})
    assert index.asked == [(0, 100), (100, 1000)]


async def test_hits_without_a_word_are_found_in_the_order_of_the_index() -> None:
    condition = compile_filter({"$not": {"$or": [{"$phrase": "p1"}, {"$phrase": "p3"}]}})
    assert await found(RankedIndex(ids(200)), Library({"p0"}), Query("q", filter=condition, limit=3)) == ["p2", "p4", "p5"]


async def test_a_phrase_that_nothing_has_is_looked_for_in_so_many_candidates_and_no_more() -> None:
    index = RankedIndex(ids(5000))
    assert await found(index, Library(), Query("q", filter=compile_filter({"$phrase": "nowhere"}), limit=100)) == []
    assert index.asked == [(0, 1000), (1000, 1000), (2000, 1000)]


async def test_a_collection_named_in_the_filter_is_found_by_its_id() -> None:
    index, library = RankedIndex(ids(3)), Library(collections=[collection("c1", "one"), collection("c2", "two")])
    condition = compile_filter({"$not": {"collection": {"$in": ["one", "c2"]}}, "type": "md"})
    await found(index, library, Query("q", ["two"], condition))
    assert index.collection_ids == ["c2"]
    assert index.condition == compile_filter({"$not": {"collection_id": {"$in": ["c1", "c2"]}}, "type": "md"})


async def test_an_unknown_collection_in_the_filter_is_named() -> None:
    with pytest.raises(AppError) as raised:
        await found(RankedIndex([]), Library(), Query("q", filter=compile_filter({"collection": "x"})))
    assert (raised.value.reason, raised.value.metadata["collection"]) == ("COLLECTION_NOT_FOUND", "x")


async def test_times_are_summed_over_rounds() -> None:
    library = Library({"p0"})
    result = await Search(RankedIndex(ids(60)), library, library).run(Query("q"))
    assert result.timings_ms["retrieve"] == 4.0
    assert set(result.timings_ms) == {"library", "embed", "retrieve", "total"}
    assert result.timings_ms["total"] >= result.timings_ms["library"] > 0


async def test_an_explained_hit_names_the_clauses_that_hold_and_where_its_words_stand() -> None:
    collections = [collection("c1", "handbook")]
    condition = compile_filter({"collection": "handbook", "author": "ann", "$or": [{"$phrase": "of p1"}, {"$phrase": "text of"}]})
    result = await Search(RankedIndex(ids(3)), Library(collections=collections), Library(collections=collections)).run(
        Query("texts", filter=condition, explain=True)
    )
    explanations = {hit.passage.passage_id: hit.candidate.explanation for hit in result.hits}
    held = {passage_id: explanation.filter_clauses for passage_id, explanation in explanations.items() if explanation}
    # The index was asked for an id; people wrote a name.
    assert held == {
        "p0": ["collection:handbook", '"text of"'],
        "p1": ["collection:handbook", '"of p1"', '"text of"'],
        "p2": ["collection:handbook", '"text of"'],
    }
    assert all(explanation and explanation.spans == [TermSpan("text", 0, 4)] for explanation in explanations.values())
    assert result.timings_ms["explain"] >= 0


async def test_nothing_is_explained_unless_that_is_asked_for() -> None:
    result = await Search(RankedIndex(ids(2)), Library(), Library()).run(Query("texts"))
    assert [hit.candidate.explanation for hit in result.hits] == [None, None]
    assert "explain" not in result.timings_ms
