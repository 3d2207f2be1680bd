from datetime import UTC, datetime, timedelta, timezone

import pytest

from ingestor.adapters.parsers.pdf import parse_date
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.files import check, parse, pdf, pdf_of_one_stream


def test_every_page_keeps_its_number_and_its_place_in_the_text() -> None:
    document = parse("a.pdf", pdf([["The first page."], [], ["The third page.", "And its second line."]]))
    assert document.page_count == 3
    assert [document.text[page.start : page.end] for page in document.pages] == [
        "The first page.",
        "",
        "The third page.\nAnd its second line.",
    ]
    assert [page.number for page in document.pages] == [1, 2, 3]


def test_title_author_and_time_come_from_the_document_information() -> None:
    document = parse("a.pdf", pdf([["Text."]], title="Microsoft Word - Annual report", author="Ann Example"))
    assert (document.title, document.author) == ("Annual report", "Ann Example")
    assert document.create_time is not None
    assert abs(datetime.now(UTC) - document.create_time) < timedelta(days=1)


def test_a_placeholder_for_a_title_is_no_title() -> None:
    assert parse("a.pdf", pdf([["Text."]], title="untitled", author="(anonymous)")).title is None


def test_the_outline_becomes_headings_where_their_words_stand() -> None:
    pages = [["Preface", "Some words.", "Scope of the work", "More words."], ["2 Prices", "Ten euros."]]
    document = parse("a.pdf", pdf(pages, outline={0: [("Preface", 0), ("Scope of the work", 1)], 1: [("Prices", 0)]}))
    assert [(heading.text, heading.level) for heading in document.headings] == [("Preface", 1), ("Scope of the work", 2), ("Prices", 1)]
    assert [document.text[heading.start :].split("\n")[0] for heading in document.headings] == ["Preface", "Scope of the work", "2 Prices"]


def test_an_outline_entry_whose_words_are_not_on_the_page_stands_at_its_start() -> None:
    document = parse("a.pdf", pdf([["One."], ["Two."]], outline={1: [("Quite another name", 0)]}))
    assert [heading.start for heading in document.headings] == [document.pages[1].start]


def test_a_word_hyphenated_at_a_line_end_is_joined() -> None:
    assert "hyphenated word" in parse("a.pdf", pdf([["This is a hyphen-", "ated word."]])).text


def test_a_pdf_of_blank_pages_has_no_text() -> None:
    with pytest.raises(DocumentRejected, match="no text on the PDF's pages") as rejection:
        parse("a.pdf", pdf([[], []]))
    assert rejection.value.reason is RejectionReason.NO_TEXT
    assert check("a.pdf", pdf([[], []])) == "pdf"


@pytest.mark.parametrize("password", ["", "secret"])
def test_only_a_pdf_that_needs_a_password_to_open_is_encrypted(password: str) -> None:
    file = pdf([["Text."]], password=password)
    if not password:
        assert parse("a.pdf", file).text == "Text."
        return
    with pytest.raises(DocumentRejected, match="password") as rejection:
        check("a.pdf", file)
    assert rejection.value.reason is RejectionReason.ENCRYPTED_DOCUMENT


def test_a_pdf_cut_short_is_corrupt() -> None:
    file = pdf([["Text."]])
    with pytest.raises(DocumentRejected) as rejection:
        check("a.pdf", file[: len(file) // 4])
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT


def test_too_many_pages_are_refused_before_any_is_read() -> None:
    with pytest.raises(DocumentRejected, match="3 pages, more than 2") as rejection:
        check("a.pdf", pdf([[], [], []]), limits=DocumentLimits(max_pages=2))
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_a_page_whose_content_is_damaged_does_not_take_the_document_down() -> None:
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.pdf", pdf_of_one_stream(b"no deflate stream"))
    assert rejection.value.reason is RejectionReason.NO_TEXT


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("D:20240131120005+01'30'", datetime(2024, 1, 31, 12, 0, 5, tzinfo=timezone(timedelta(hours=1, minutes=30)))),
        ("D:20240131120005-05'00", datetime(2024, 1, 31, 12, 0, 5, tzinfo=timezone(timedelta(hours=-5)))),
        ("D:20240131120005Z", datetime(2024, 1, 31, 12, 0, 5, tzinfo=UTC)),
        ("D:2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("D:20241399", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_pdf_dates_are_read_as_far_as_they_go(written: str, time: datetime | None) -> None:
    assert parse_date(written) == time
