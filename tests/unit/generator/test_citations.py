"""The citation checker: what comes out depends on the text, never on how it was cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.domain.citations import CitationChecker, without_markers
from generator.domain.engine import Citation, SourcePassage, TextDelta

PASSAGES = {
    1: SourcePassage("leave", "Annual leave is 26 days a year. Up to five unused days carry over and lapse on 31 March."),
    2: SourcePassage("shed", "Bicycles are kept in the shed behind the workshop."),
    3: SourcePassage("empty-handed", "…"),
}
MARKER = re.compile(r"\[(\d+)\]", re.ASCII)
# Texts that are rich in what a marker is made of, nested and broken.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "[",
                "]",
                "【",
                "】",
                "［",
                "］",
                "1",
                "2",
                "9",
                "12",
                ",",
                ";",
                " ",
                "\u00a0",
                ".",
                "\n",
                "†",
                "a",
                "é",
                "[1]",
                "[9]",
                "[1, 2]",
            ]
        ),
        st.text(alphabet="[]19, .†ab", max_size=6),
    ),
    max_size=40,
).map("".join)


def checked(pieces: Sequence[str]) -> tuple[str, list[Citation], int]:
    checker = CitationChecker(PASSAGES, "en")
    events = [event for piece in pieces for event in checker.feed(piece)] + list(checker.finish())
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [event for event in events if isinstance(event, Citation)], checker.dropped_markers


@given(TEXTS, st.data())
def test_the_outcome_does_not_depend_on_where_the_text_was_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=10)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert checked(pieces) == checked([text]) == checked(list(text))


@given(TEXTS)
def test_every_marker_of_the_outcome_has_exactly_one_true_citation(text: str) -> None:
    written, citations, _ = checked([text])
    assert {int(number) for number in MARKER.findall(written)} == {citation.marker for citation in citations}
    assert len(citations) == len({citation.marker for citation in citations})
    for citation in citations:
        passage = PASSAGES[citation.marker]
        assert citation.passage_id == passage.passage_id
        assert passage.text[citation.start : citation.end] == citation.quote != ""


@given(TEXTS)
def test_a_citation_comes_after_its_marker(text: str) -> None:
    checker = CitationChecker(PASSAGES, "en")
    written = ""
    for piece in text:
        for event in checker.feed(piece):
            if isinstance(event, TextDelta):
                written += event.text
            else:
                assert f"[{event.marker}]" in written


@pytest.mark.parametrize(
    ("text", "expected", "dropped"),
    [
        ("Five days [1].", "Five days [1].", 0),
        ("Five days [1, 2].", "Five days [1][2].", 0),
        ("Five days [1][2]", "Five days [1][2]", 0),
        ("Five days [1; 9]", "Five days [1]", 1),
        ("Five days [ 1 ].", "Five days [1].", 0),
        ("Five days 【1】.", "Five days [1].", 0),
        ("Five days 【1†employee-handbook.pdf】.", "Five days [1].", 0),
        ("Five days [7].", "Five days.", 1),
        ("Five [7] days", "Five days", 1),
        ("Five days [0]", "Five days", 1),
        ("Five days [99999999999999999999]", "Five days", 1),
        ("Five days [001]", "Five days [1]", 0),
        ("[[1]]", "[[1]]", 0),
        ("[[9]1]", "[1]", 1),
        ("[1[9]2]", "", 2),
        ("as [sic] said [see page 2]", "as [sic] said [see page 2]", 0),
        ("an array[1a] and [", "an array[1a] and [", 0),
        ("an open [1", "an open [1", 0),
        ("l'été\u00a0: [2]", "l'été\u00a0: [2]", 0),
        ("two [1, 1]", "two [1]", 0),
    ],
)
def test_markers_are_normalised_kept_or_removed(text: str, expected: str, dropped: int) -> None:
    written, _, count = checked([text])
    assert (written, count) == (expected, dropped)


def test_the_quote_is_the_sentence_that_best_supports_the_statement() -> None:
    _, citations, _ = checked(["You have 26 days of annual leave a year [1]. "])
    assert citations[0].quote == "Annual leave is 26 days a year."
    _, citations, _ = checked(["Leave is plenty. Unused days lapsed in March. [1] And so on."])
    assert citations[0].quote == "Up to five unused days carry over and lapse on 31 March."


def test_a_marker_cites_once_however_often_it_is_written() -> None:
    written, citations, _ = checked(["One [1]. Two [1]. Three [1]."])
    assert written.count("[1]") == 3
    assert len(citations) == 1


def test_what_looks_like_a_marker_in_a_document_is_put_into_round_brackets() -> None:
    assert without_markers("As shown [12] and 【3】, see [a].") == "As shown (12) and (3), see [a]."


@given(TEXTS)
def test_no_marker_is_left_in_a_document_s_text(text: str) -> None:
    assert not MARKER.search(without_markers(text))
