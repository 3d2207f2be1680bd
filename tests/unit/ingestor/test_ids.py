"""Ids: unique, sortable, and the same for the same thing."""

from __future__ import annotations

from uuid import UUID

from ingestor.domain.ids import identity, is_id, new_id, passage_id


def test_ids_are_unique_and_later_ones_sort_after_earlier_ones() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    # Two within a quarter of a microsecond share their time; across milliseconds the order is exact.
    milliseconds = [one[:13] for one in ids]
    assert milliseconds == sorted(milliseconds)
    assert UUID(ids[0]).version == 7
    assert UUID(ids[0]).variant == "specified in RFC 4122"


def test_only_what_has_the_form_of_an_id_is_one() -> None:
    assert is_id(new_id())
    assert not any(is_id(text) for text in ("", "handbook", new_id()[:-1], new_id().replace("-", ""), "{" + new_id() + "}"))


def test_a_passage_keeps_its_id_and_shares_it_with_no_other() -> None:
    assert passage_id("d", 1, 2) == passage_id("d", 1, 2)
    others = {passage_id(document, generation, ordinal) for document in "de" for generation in (1, 11) for ordinal in (1, 11)}
    assert len(others) == 8


def test_a_document_is_known_by_the_first_thing_that_is_given() -> None:
    assert identity(external_id="a", name="n") == identity(external_id="a", name="m", url="u")
    assert identity(name="n", url="u") == identity(name="n")
    assert len({identity(external_id="a"), identity(name="a"), identity(url="a")}) == 3
    assert identity() != identity()
