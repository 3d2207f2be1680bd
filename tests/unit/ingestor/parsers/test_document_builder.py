from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.domain.document_builder import DocumentBuilder
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason

KINDS = st.sampled_from(["page", "heading", "paragraph", "item", "lines"])
# Any code point, lone surrogates and noncharacters included.
BLOCKS = st.lists(st.tuples(KINDS, st.text(st.characters(codec=None), max_size=40)), max_size=30)


def built(blocks: list[tuple[str, str]], limits: DocumentLimits | None = None) -> ParsedDocument:
    builder = DocumentBuilder(limits or DocumentLimits())
    for kind, text in blocks:
        if kind == "page":
            builder.start_page()
        elif kind == "heading":
            builder.heading(text, 2)
        elif kind == "paragraph":
            builder.paragraph(text)
        elif kind == "item":
            builder.item(text)
        else:
            builder.lines([text, text])
    return builder.build("txt")


@given(BLOCKS)
def test_offsets_hold_whatever_is_added(blocks: list[tuple[str, str]]) -> None:
    document = built([*blocks, ("paragraph", "The end.")])
    assert all(document.text.startswith(f"## {heading.text}", heading.start) for heading in document.headings)
    assert document.page_count == sum(kind == "page" for kind, _ in blocks)
    ends = document.pages[0].start if document.pages else len(document.text)
    for page in document.pages:
        assert ends <= page.start <= page.end
        assert not document.text[ends : page.start].strip()
        ends = page.end
    assert ends == len(document.text)


@given(BLOCKS)
def test_the_text_can_always_be_stored(blocks: list[tuple[str, str]]) -> None:
    text = built([*blocks, ("paragraph", "The end.")]).text
    assert "\0" not in text
    assert "\r" not in text
    assert text.encode()


@pytest.mark.parametrize("text", ["", " \n", "\0\x01", "\xad"])
def test_a_document_of_nothing_visible_has_no_text(text: str) -> None:
    with pytest.raises(DocumentRejected) as rejection:
        built([("page", ""), *((kind, text) for kind in ("heading", "paragraph", "item", "lines"))])
    assert rejection.value.reason is RejectionReason.NO_TEXT


def test_characters_that_cannot_be_stored_or_seen_are_left_out() -> None:
    assert built([("paragraph", "a\0b\ud800c\ufeffd\xade\r\nf\x0c")]).text == "abcde\nf"


def test_items_of_one_list_are_set_apart_by_a_line_end_only() -> None:
    assert built([("item", "a"), ("item", "b\nc"), ("paragraph", "d"), ("item", "e")]).text == "- a\n- b c\n\nd\n\n- e"


def test_a_table_escapes_bars_and_drops_empty_rows() -> None:
    builder = DocumentBuilder(DocumentLimits())
    builder.table([["", " "], ["a|b", "c\nd"], [], ["1", "2"]])
    assert builder.build("txt").text == "| a\\|b | c d |\n| --- | --- |\n| 1 | 2 |"


def test_more_text_than_the_limit_is_refused_as_soon_as_it_is_passed() -> None:
    limits = DocumentLimits(max_text_chars=10)
    assert built([("paragraph", "x" * 10)], limits).text == "x" * 10
    with pytest.raises(DocumentRejected, match="more than 10 characters") as rejection:
        built([("paragraph", "x" * 5), ("paragraph", "x" * 4)], limits)
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_a_heading_as_long_as_a_book_is_cut_where_passages_repeat_it() -> None:
    builder = DocumentBuilder(DocumentLimits())
    builder.heading("x" * 10_000, 1, anchor="y" * 10_000)
    document = builder.build("txt")
    assert (len(document.text), len(document.headings[0].text), document.headings[0].anchor) == (10_002, 500, "")


def test_times_without_zone_are_utc_and_a_language_tag_becomes_a_code() -> None:
    builder = DocumentBuilder(DocumentLimits())
    builder.paragraph("Texte.")
    document = builder.build("txt", language="fr_CA", create_time=datetime(2024, 5, 1), title=" A \n title ")  # noqa: DTZ001
    assert (document.language, document.create_time, document.title) == ("fr", datetime(2024, 5, 1, tzinfo=UTC), "A title")
