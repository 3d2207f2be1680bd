"""What every vector index promises, over each of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest

from embedder.adapters.memory_index import MemoryIndex
from embedder.adapters.milvus.index import MilvusIndex
from embedder.domain.encoding import EncoderSpec, Vectors
from embedder.domain.filters import AllOf, AnyOf, Filter, NoneOf, Operator, Scope, comparison
from embedder.domain.index import VectorIndex
from embedder.domain.passages import Candidate, Deleted, Generations, HeldPassage, IndexedPassage, Passage, PassageAttributes

DIMENSION = 4
SPEC = EncoderSpec("contract", "0" * 64, DIMENSION, 256, normalised=False)
EVERYTHING = Scope()
ALL = Generations()


@pytest.fixture(params=["memory", "milvus"])
async def index(request: pytest.FixtureRequest) -> AsyncIterator[VectorIndex]:
    memory = request.param == "memory"
    made = MemoryIndex() if memory else MilvusIndex(request.getfixturevalue("milvus_uri"), "", "contract", SPEC)
    yield made
    await made.close()


@pytest.fixture
def organisation() -> str:
    return f"organisation {secrets.token_hex(6)}"


def row(passage_id: str, vector: Iterable[float] = (1, 0, 0, 0), terms: str = "word", **attributes: Any) -> IndexedPassage:
    known: dict[str, Any] = {"document_id": "document", "generation": 1, "collection_id": "collection"} | attributes
    passage = Passage(
        passage_id=passage_id,
        document_id=known.pop("document_id"),
        generation=known.pop("generation"),
        text="text",
        fingerprint=known.pop("fingerprint", ""),
        attributes=PassageAttributes(**known),
    )
    return IndexedPassage(passage, np.array(list(vector), dtype=np.float32), terms)


def towards(*elements: float) -> Vectors:
    return np.array([*elements, *[0] * (DIMENSION - len(elements))], dtype=np.float32)


def ids(candidates: list[Candidate]) -> list[str]:
    return [candidate.passage_id for candidate in candidates]


async def nearest(index: VectorIndex, organisation: str, scope: Scope = EVERYTHING) -> set[str]:
    return set(ids(await index.search_dense(organisation, towards(1), scope, 100)))


async def test_the_nearest_passages_come_first_with_their_cosines(index: VectorIndex, organisation: str) -> None:
    rows = [row("far", (0, 1, 0, 0)), row("near", (3, 0, 0, 0)), row("between", (1, 1, 0, 0)), row("behind", (-2, 0, 0, 0))]
    await index.upsert(organisation, rows)
    candidates = await index.search_dense(organisation, towards(0.5), EVERYTHING, 10)
    assert ids(candidates) == ["near", "between", "far", "behind"]
    assert [candidate.cosine for candidate in candidates] == pytest.approx([1, 0.5**0.5, 0, -1], abs=1e-6)


async def test_no_more_passages_than_asked_for_are_given(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row(f"p{number}", terms="pump") for number in range(20)])
    assert len(await index.search_dense(organisation, towards(1), EVERYTHING, 7)) == 7
    assert len(await index.search_lexical(organisation, "pump", EVERYTHING, 7)) == 7


async def test_candidates_carry_what_the_other_arm_measures(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("p", (0, 2, 0, 0), "pump valv", document_id="d", generation=7)])
    (dense,) = await index.search_dense(organisation, towards(1), EVERYTHING, 5)
    (lexical,) = await index.search_lexical(organisation, "valv", EVERYTHING, 5)
    for candidate in (dense, lexical):
        assert (candidate.passage_id, candidate.document_id, candidate.generation, candidate.terms) == ("p", "d", 7, "pump valv")
    assert lexical.vector is not None
    assert lexical.vector.tolist() == [0, 1, 0, 0]


async def test_words_find_the_passages_that_have_them_and_rare_words_count_more(index: VectorIndex, organisation: str) -> None:
    common = [row(f"c{number}", terms="pump filter") for number in range(8)]
    await index.upsert(organisation, [*common, row("rare", terms="valv filter"), row("none", terms="rule")])
    found = ids(await index.search_lexical(organisation, "valv pump", EVERYTHING, 20))
    assert found[0] == "rare"
    assert set(found[1:]) == {f"c{number}" for number in range(8)}


async def test_terms_with_joined_parts_and_letters_of_any_script_are_words(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("code", terms="errː4012 err 4012"), row("other", terms="err 7"), row("kanji", terms="検索 索す")])
    assert ids(await index.search_lexical(organisation, "errː4012", EVERYTHING, 5)) == ["code"]
    assert ids(await index.search_lexical(organisation, "検索", EVERYTHING, 5)) == ["kanji"]


async def test_a_passage_written_again_is_replaced_whole(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("p", (1, 0, 0, 0), "pump", author="Ada", metadata={"year": 1})])
    await index.upsert(organisation, [row("p", (0, 1, 0, 0), "valv")])
    assert await index.count(organisation, None) == 1
    (candidate,) = await index.search_dense(organisation, towards(0, 1), EVERYTHING, 5)
    assert candidate.cosine == pytest.approx(1)
    assert candidate.terms == "valv"
    assert await index.search_lexical(organisation, "pump", EVERYTHING, 5) == []
    for condition in (comparison("author", Operator.EQUAL, ["Ada"]), comparison("metadata.year", Operator.EXISTS, [])):
        assert await nearest(index, organisation, Scope(filter=condition)) == set()


async def test_organisations_with_the_same_ids_never_meet(index: VectorIndex, organisation: str) -> None:
    other = f"{organisation}/other"
    await index.upsert(organisation, [row("p", (1, 0, 0, 0), "pump"), row("mine", (1, 0, 0, 0), "pump")])
    await index.upsert(other, [row("p", (0, 1, 0, 0), "valv")])
    assert await nearest(index, organisation) == {"p", "mine"}
    assert ids(await index.search_dense(other, towards(1), EVERYTHING, 10)) == ["p"]
    assert await index.search_lexical(other, "pump", EVERYTHING, 10) == []
    assert (await index.fetch_vectors(other, ["p", "mine"]))["p"].tolist() == [0, 1, 0, 0]
    assert await index.find_missing(other, ["p", "mine"]) == ["mine"]
    assert await index.sample_terms(other, 10) == ["valv"]
    assert await index.delete_documents(other, {"document": ALL}) == {"document": Deleted(1, 0)}
    assert (await index.count(organisation, None), await index.count(other, None)) == (2, 0)


async def test_missing_passages_are_told_in_the_order_asked(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("b"), row("d")])
    assert await index.find_missing(organisation, ["a", "b", "c", "d"]) == ["a", "c"]
    assert await index.find_missing(organisation, []) == []


async def test_a_deleted_document_is_gone_at_once_and_others_stay(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("a", document_id="one"), row("b", document_id="one"), row("c", document_id="two")])
    assert await index.delete_documents(organisation, {"one": ALL}) == {"one": Deleted(2, 0)}
    assert await nearest(index, organisation) == {"c"}
    assert await index.find_missing(organisation, ["a", "b", "c"]) == ["a", "b"]
    assert await index.delete_documents(organisation, {"one": ALL}) == {"one": Deleted(0, 0)}


async def test_older_generations_are_deleted_and_the_newer_stay(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row(f"g{generation}", generation=generation) for generation in (1, 2, 3)])
    assert await index.delete_documents(organisation, {"document": Generations(before=3)}) == {"document": Deleted(2, 0)}
    assert await nearest(index, organisation) == {"g3"}


async def test_generations_that_are_kept_stay_among_the_older(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row(f"g{generation}", generation=generation) for generation in (1, 2, 3, 4)])
    assert await index.delete_documents(organisation, {"document": Generations(before=4, kept=(1, 3))}) == {"document": Deleted(1, 0)}
    assert await nearest(index, organisation) == {"g1", "g3", "g4"}


async def test_several_documents_are_deleted_at_once_and_counted_each(index: VectorIndex, organisation: str) -> None:
    rows = [row(f"{document}{generation}", document_id=document, generation=generation) for document in "abc" for generation in (1, 2)]
    await index.upsert(organisation, rows)
    doomed = {"a": ALL, "b": Generations(before=2), "unknown": ALL}
    assert await index.delete_documents(organisation, doomed) == {"a": Deleted(2, 0), "b": Deleted(1, 0), "unknown": Deleted(0, 0)}
    assert await nearest(index, organisation) == {"b2", "c1", "c2"}


async def test_passages_are_deleted_by_their_ids_and_others_stay(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("a"), row("b"), row("c")])
    await index.upsert(f"{organisation}/other", [row("a")])
    assert await index.delete_passages(organisation, ["a", "c", "unknown"]) == Deleted(2, 0)
    assert await nearest(index, organisation) == {"b"}
    assert await index.count(f"{organisation}/other", None) == 1
    assert await index.delete_passages(organisation, []) == Deleted(0, 0)


async def test_a_scan_gives_every_passage_once_in_the_order_of_the_ids(index: VectorIndex, organisation: str) -> None:
    written = {secrets.token_hex(16): f"print {number}" for number in range(50)}
    rows = [row(passage_id, fingerprint=fingerprint, generation=7) for passage_id, fingerprint in written.items()]
    await index.upsert(organisation, rows)
    for neighbour in (f"{organisation}/other", f"{organisation}0", organisation[:-1]):
        await index.upsert(neighbour, [row("a"), row("f" * 32)])
    held: list[HeldPassage] = []
    while page := await index.scan(organisation, held[-1].passage_id if held else "", 20):
        assert len(page) <= 20
        held += page
    assert held == [HeldPassage(key, "document", 7, "collection", written[key]) for key in sorted(written)]


async def test_a_scan_sees_what_was_just_written_and_not_what_was_just_deleted(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("a"), row("b")])
    await index.delete_passages(organisation, ["a"])
    await index.upsert(organisation, [row("c")])
    assert [held.passage_id for held in await index.scan(organisation, "", 10)] == ["b", "c"]


async def test_every_organisation_that_has_a_row_is_known(index: VectorIndex, organisation: str) -> None:
    some = {organisation, f"{organisation}/sub", f"{organisation}-é", f"{organisation}0"}
    for each in some:
        await index.upsert(each, [row("a"), row("b")])
    assert some <= set(await index.organisations())
    await index.delete_documents(organisation, {"document": ALL})
    assert organisation not in await index.organisations()


async def test_a_passage_deleted_and_written_again_is_there(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("p")])
    await index.delete_documents(organisation, {"document": ALL})
    await index.upsert(organisation, [row("p")])
    assert await index.find_missing(organisation, ["p"]) == []
    assert await nearest(index, organisation) == {"p"}


async def test_counts_are_of_the_organisation_or_of_one_collection(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("a"), row("b", collection_id="other"), row("c", collection_id="other")])
    assert await index.count(organisation, None) == 3
    assert await index.count(organisation, "other") == 2
    assert await index.count(organisation, "none") == 0


async def test_a_search_stays_within_collections_and_readable_access_sets(index: VectorIndex, organisation: str) -> None:
    await index.upsert(
        organisation,
        [row("a"), row("b", collection_id="other"), row("c", access_set_id=5), row("d", access_set_id=6)],
    )
    assert await nearest(index, organisation) == {"a", "b"}
    assert await nearest(index, organisation, Scope(access_set_ids=(5, 9))) == {"a", "b", "c"}
    assert await nearest(index, organisation, Scope(collection_ids=("collection",), access_set_ids=(6,))) == {"a", "d"}
    lexical = await index.search_lexical(organisation, "word", Scope(collection_ids=("other",)), 10)
    assert ids(lexical) == ["b"]


NEW_YEAR = 1_767_225_600_000_000
LIBRARY = [
    row("a", type="pdf", author="Ada", language="en", create_time=NEW_YEAR, outdated=True, metadata={"year": 2020, "tag": "x"}),
    row("b", type="docx", author='Bo "B" \\ O\'Neil\n', language="fr", update_time=NEW_YEAR - 1, metadata={"year": 2021.5, "ok": True}),
    row("c", type="pdf", connection_id="drive", document_id="other", metadata={"year": "2020", "nested": {"year": 1}}),
    row("d", type="", create_time=NEW_YEAR - 1, update_time=NEW_YEAR + 1, metadata={"ok": False, 'k"ey': 1}),
]


def equal(field: str, value: object) -> Filter:
    return comparison(field, Operator.EQUAL, [value])


CONDITIONS = [
    (equal("type", "pdf"), "ac"),
    (equal("type", ""), "d"),
    (equal("author", 'Bo "B" \\ O\'Neil\n'), "b"),
    (equal("author", '" or author != "'), ""),
    (equal("connection_id", "drive"), "c"),
    (equal("document_id", "other"), "c"),
    (equal("language", "fr"), "b"),
    (equal("outdated", True), "a"),  # noqa: FBT003  # a value like the others
    (equal("outdated", False), "bcd"),  # noqa: FBT003
    (comparison("type", Operator.IN, ["docx", ""]), "bd"),
    (comparison("author", Operator.GREATER, ["B"]), "b"),
    (comparison("create_time", Operator.LESS, ["2026-01-01T00:00:00Z"]), "d"),
    (comparison("create_time", Operator.GREATER_OR_EQUAL, ["2026-01-01T00:00:00Z"]), "a"),
    (comparison("update_time", Operator.LESS_OR_EQUAL, ["2025-12-31T23:59:59.999999Z"]), "b"),
    (NoneOf(comparison("update_time", Operator.LESS, ["2100-01-01T00:00:00Z"])), "ac"),
    (equal("metadata.year", 2020.0), "a"),
    (equal("metadata.year", "2020"), "c"),
    (comparison("metadata.year", Operator.GREATER, [2020.0]), "b"),
    (comparison("metadata.year", Operator.IN, [2020.0, 2021.5]), "ab"),
    (equal("metadata.tag", "x"), "a"),
    (equal("metadata.ok", True), "b"),  # noqa: FBT003
    (equal('metadata.k"ey', 1.0), "d"),
    (comparison("metadata.ok", Operator.EXISTS, []), "bd"),
    (comparison("metadata.nested", Operator.EXISTS, []), "c"),
    (AllOf((equal("type", "pdf"), equal("author", "Ada"))), "a"),
    (AnyOf((equal("author", "Ada"), equal("language", "fr"))), "ab"),
    (NoneOf(AnyOf((equal("author", "Ada"), equal("language", "fr")))), "cd"),
    (AllOf((NoneOf(equal("type", "pdf")), AnyOf((equal("language", "fr"), equal("type", ""))))), "bd"),
]


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS)
async def test_a_filter_lets_through_what_satisfies_it(index: VectorIndex, organisation: str, condition: Filter, expected: str) -> None:
    await index.upsert(organisation, LIBRARY)
    assert await nearest(index, organisation, Scope(filter=condition)) == set(expected)
    assert set(ids(await index.search_lexical(organisation, "word", Scope(filter=condition), 10))) == set(expected)


async def test_a_sample_is_of_no_more_passages_than_asked_for(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row(f"p{number}", terms=f"word{number}") for number in range(10)])
    assert len(await index.sample_terms(organisation, 4)) <= 4
    assert sorted(await index.sample_terms(organisation, 1000)) == sorted(f"word{number}" for number in range(10))


async def test_terms_longer_than_a_store_holds_are_cut_between_terms(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("p", terms=" ".join(["начало", *["слово"] * 20_000]))])
    assert ids(await index.search_lexical(organisation, "начало", EVERYTHING, 5)) == ["p"]


async def test_an_index_that_answers_is_serving(index: VectorIndex) -> None:
    assert await index.is_serving()


async def test_a_condition_is_decided_on_named_passages_alone(index: VectorIndex, organisation: str) -> None:
    await index.upsert(organisation, [row("pdf", type="pdf"), row("other pdf", type="pdf"), row("docx", type="docx")])
    await index.upsert(f"{organisation} 2", [row("foreign", type="pdf")])
    pdf = comparison("type", Operator.EQUAL, ["pdf"])
    named = ["pdf", "docx", "foreign", "never written"]
    assert await index.satisfying(organisation, named, pdf) == {"pdf"}
    assert await index.satisfying(organisation, named, NoneOf(pdf)) == {"docx"}


async def test_a_negated_condition_on_metadata_holds_of_what_lacks_the_key(index: VectorIndex, organisation: str) -> None:
    kept: dict[str, Any] = {"people": {"team": "people"}, "legal": {"team": "legal"}, "none": {}, "null": {"team": None}}
    await index.upsert(organisation, [row(name, metadata=metadata) for name, metadata in kept.items()])
    people, later = comparison("metadata.team", Operator.EQUAL, ["people"]), comparison("metadata.team", Operator.GREATER, ["m"])
    assert await nearest(index, organisation, Scope(filter=NoneOf(people))) == {"legal", "none", "null"}
    assert await nearest(index, organisation, Scope(filter=NoneOf(AnyOf((people, later))))) == {"legal", "none", "null"}
    assert await nearest(index, organisation, Scope(filter=NoneOf(NoneOf(people)))) == {"people"}
