from datetime import UTC, datetime

import pytest

from ingestor.domain.parsing import DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.files import parse

HEAD = rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Times;}{\f1\fcharset204 Times Cyr;}{\f2\fcharset128 Mincho;}}"
STYLES = rb"{\stylesheet{\s0 Normal;}{\s1\outlinelevel0\fs48 heading 1;}{\s2\outlinelevel1 heading 2;}}"


def text_of(body: bytes) -> str:
    return parse("a.rtf", HEAD + STYLES + body + b"}").text


def test_paragraphs_headings_and_lists_keep_their_kind() -> None:
    document = parse(
        "a.rtf",
        HEAD + STYLES + rb"\pard\s1 Report\par\pard\plain First {\b bold} words.\par"
        rb"\pard\outlinelevel1 Prices\par\pard{\listtext\'b7\tab}One\par{\listtext\'b7\tab}Two\par}",
    )
    assert document.text == "# Report\n\nFirst bold words.\n\n## Prices\n\n- One\n- Two"
    assert [(heading.text, heading.level) for heading in document.headings] == [("Report", 1), ("Prices", 2)]


def test_a_table_becomes_markdown() -> None:
    row = rb"\trowd\cellx1000\cellx2000\pard\intbl %s\cell\pard\intbl %s\cell\row"
    assert text_of(row % (b"Part", b"Price") + row % (b"Hook", b"12") + rb"\pard After.\par") == (
        "| Part | Price |\n| --- | --- |\n| Hook | 12 |\n\nAfter."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"d\'e9j\'e0 vu", "déjà vu"),
        (rb"\u233?t\u233?", "été"),
        (rb"{\uc2\u233 ab}t\u233\'e9", "été"),
        (rb"\u-10179?\u-8704?", "😀"),
        (rb"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2}", "Привет"),
        (rb"{\f2 \'93\'fa\'96\'7b}", "日本"),
        (rb"one\~two \endash  three\line four", "one\u00a0two – three\nfour"),
        (rb"a\{b\}c\\d", r"a{b}c\d"),
    ],
)
def test_every_way_to_write_a_character_is_read(body: bytes, text: str) -> None:
    assert text_of(b"\\pard " + body) == text


def test_what_no_reader_sees_is_left_out() -> None:
    hidden = rb"{\header Page head}{\footnote Note}{\*\generator Word}{\v hidden}{\pict\bin5 }{\\}0123}"
    assert text_of(rb"\pard Seen " + hidden + rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}") == "Seen link"


def test_title_author_and_times_come_from_the_information_group() -> None:
    information = rb"{\info{\title Annual report}{\author Ann}{\creatim\yr2024\mo5\dy1\hr12\min30}{\revtim\yr0\mo0\dy0\hr0\min0}}"
    document = parse("a.rtf", HEAD + information + b"Text.}")
    assert (document.title, document.author, document.update_time) == ("Annual report", "Ann", None)
    assert document.create_time == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def test_a_file_cut_short_keeps_what_it_has() -> None:
    row = rb"\trowd\cellx1000\pard\intbl Part\cell\row\trowd\pard\intbl Ho"
    assert parse("a.rtf", HEAD + rb"\pard Before.\par" + row).text == "Before.\n\n| Part |\n| --- |\n\nHo"


def test_groups_nested_without_end_are_refused() -> None:
    with pytest.raises(DocumentRejected, match="nested") as rejection:
        parse("a.rtf", HEAD + b"{" * 100_000)
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE
