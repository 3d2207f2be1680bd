"""The words that are embedded with a passage."""

from __future__ import annotations

import pytest

from ingestor.domain.chunking import Chunk
from ingestor.domain.parsing import Heading, ParsedDocument
from ingestor.domain.pipeline.contexts import Window, context, context_parts, title_of

STARTS = {"Handbook": [0], "Travel": [0], "Booking a flight": [0, 8, 10]}


def chunk(*headings: str) -> Chunk:
    return Chunk(0, "text", 0, 4, None, headings, "")


def test_title_and_headings_stand_on_lines_of_their_own_outermost_first() -> None:
    assert context(chunk("Travel", "Booking a flight"), "Handbook", STARTS, 10) == "Handbook\nTravel\nBooking a flight"


def test_a_heading_that_repeats_the_title_stands_once() -> None:
    assert context(chunk("Handbook", "Travel"), "Handbook", STARTS, 10) == "Handbook\nTravel"


def test_what_does_not_fit_is_cut_at_a_token() -> None:
    assert context(chunk("Travel", "Booking a flight"), "Handbook", STARTS, 4) == "Handbook\nTravel\nBooking a"
    assert context(chunk("Travel", "Booking a flight"), "Handbook", STARTS, 1) == "Handbook"


def test_a_text_without_title_and_headings_has_no_context() -> None:
    assert context(chunk(), "", STARTS, 10) == ""


def test_every_line_that_a_context_may_hold_is_known_beforehand() -> None:
    document = ParsedDocument("text", "md", headings=(Heading(0, 1, "Travel", ""), Heading(0, 2, "Travel", ""), Heading(0, 2, "Costs", "")))
    assert context_parts(document, "Handbook") == ["Handbook", "Travel", "Costs"]


@pytest.mark.parametrize(
    ("title", "name", "expected"),
    [("Crane manual", "x.pdf", "Crane manual"), (None, "crane-manual_v2.pdf", "crane manual v2"), (None, "dir/crane", "crane")],
)
def test_a_document_without_a_title_is_called_by_its_name(title: str | None, name: str, expected: str) -> None:
    assert title_of(ParsedDocument("text", "pdf", title=title), name) == expected


@pytest.mark.parametrize(("max_tokens", "wanted"), [(254, 0), (254, 100), (510, 10_000), (8, 0), (1, 0), (1, 5)])
def test_passage_and_context_fit_the_window_together(max_tokens: int, wanted: int) -> None:
    window = Window(max_tokens)
    limits = window.chunk_limits(wanted)
    assert 1 <= limits.target_tokens <= limits.max_tokens
    assert limits.max_tokens + window.context_tokens <= max(max_tokens, 1)
    if wanted:
        assert limits.target_tokens <= wanted
