from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.domain.sentences import UnitKind, cells, units

TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "A sentence. ",
                "Une phrase ! ",
                "M. Dupont ",
                "| a | b |\n",
                "| --- | --- |\n",
                "- item\n",
                "# Title\n",
                "\n\n",
                "a;b;c\n",
                "3.5 ",
            ]
        ),
        st.text(max_size=20),
    ),
    max_size=20,
).map("".join)


def pieces(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in units(text)]


@given(TEXTS)
def test_pieces_are_in_order_do_not_overlap_and_lose_no_word_outside_table_rules(text: str) -> None:
    found = units(text)
    assert all(first.end <= second.start for first, second in pairwise(found))
    assert all(unit.start < unit.end and text[unit.start : unit.end] == text[unit.start : unit.end].strip() for unit in found)
    between = [
        text[first:last]
        for first, last in zip([0, *(unit.end for unit in found)], [*(unit.start for unit in found), len(text)], strict=True)
    ]
    assert not any(character.isalnum() for gap in between for character in gap)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Dr. Reyes came at 4.30 p.m. and left.", ["Dr. Reyes came at 4.30 p.m. and left."]),
        ("See fig. 4 of J. Smith et al. Then go.", ["See fig. 4 of J. Smith et al. Then go."]),
        ("Est-ce ouvert ? Oui, à 9 h ! « Bien. » Fin.", ["Est-ce ouvert ?", "Oui, à 9 h !", "« Bien. »", "Fin."]),
        ("A line\nbroken by a page. Next one.", ["A line\nbroken by a page.", "Next one."]),
        ("It was founded in 1978. Later it grew.", ["It was founded in 1978.", "Later it grew."]),
        ("Article 6. Équipements de protection", ["Article 6. Équipements de protection"]),
    ],
)
def test_prose_is_cut_into_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_table_rows_know_their_header() -> None:
    rows = [unit for unit in units("| Place | Limit |\n| --- | --- |\n| Paris | €180 |\n| London | £165 |") if unit.kind is UnitKind.ROW]
    assert [row.header for row in rows] == ["| Place | Limit |"] * 2


def test_lines_of_delimited_values_are_rows() -> None:
    found = units("part;product;price\n300;HW;1890\n301;Marine;2460")
    assert [unit.kind for unit in found] == [UnitKind.HEADING, UnitKind.ROW, UnitKind.ROW]
    assert cells("301;Marine;2460") == ["301", "Marine", "2460"]


def test_items_are_whole_and_stand_under_their_heading() -> None:
    text = "## Benefits\n\n- Pension: you pay 4 %. The company adds 8 %.\n- Life cover"
    found = units(text)
    assert [unit.kind for unit in found] == [UnitKind.HEADING, UnitKind.ITEM, UnitKind.ITEM]
    assert found[1].heading == "Benefits"
    assert text[found[1].start : found[1].end] == "- Pension: you pay 4 %. The company adds 8 %."


@pytest.mark.parametrize("line", ["# Leave", "3.1 Annual leave", "Article 4. Matériel et véhicules", "Working time"])
def test_a_title_is_a_heading_with_or_without_mark_up(line: str) -> None:
    found = units(f"{line}\n\nYou have 26 days of it.")
    assert [unit.kind for unit in found] == [UnitKind.HEADING, UnitKind.SENTENCE]
    assert found[1].heading == line.removeprefix("# ")


def test_a_title_that_lost_the_blank_line_after_it_is_still_a_heading() -> None:
    found = units("3.1 Annual leave\nYou have 26 days of paid leave\na year.")
    assert [unit.kind for unit in found] == [UnitKind.HEADING, UnitKind.SENTENCE]


def test_one_of_several_numbered_lines_is_an_item_and_no_heading() -> None:
    assert {unit.kind for unit in units("1. Fix the base\n2. Turn the mark to north\n3. Connect the strap")} == {UnitKind.ITEM}


@pytest.mark.parametrize(
    "text", ["." * 100_000 + "x", "a." + " " * 100_000 + "b", "a. " * 50_000, "|" * 100_000, "| a |\n" * 20_000, "- b\n" * 50_000]
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    units(text)
    # Linear work takes a fraction of a second here; quadratic work would take hours.
    assert time.process_time() - started < 10


def test_a_row_that_carries_the_names_of_its_columns_is_a_row() -> None:
    text = "- date: 2026-05-15 | site: Grenoble | name: Pont de l'Ascension\n- date: 2026-05-25 | site: Kendal | name: Spring holiday"
    found = units(text)
    assert [unit.kind for unit in found] == [UnitKind.ROW, UnitKind.ROW]
    assert found[0].header == "| date | site | name |"
    assert cells(text[found[0].start : found[0].end]) == ["2026-05-15", "Grenoble", "Pont de l'Ascension"]
