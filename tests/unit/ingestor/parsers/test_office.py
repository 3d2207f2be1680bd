from datetime import UTC, date, datetime

import pytest
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.files import docx, parse, pptx, pptx_with_table, xlsx


def test_a_word_file_keeps_headings_lists_and_tables_in_order() -> None:
    def write(document: Document) -> None:
        document.core_properties.title = "Handbook"
        document.core_properties.author = "Ann Example"
        document.core_properties.created = datetime(2024, 5, 1, 12)  # noqa: DTZ001 - python-docx takes UTC without saying so
        document.add_heading("Opening hours", level=1)
        document.add_paragraph("We open early.")
        document.add_heading("Winter", level=2)
        document.add_paragraph("Monday", style="List Bullet")
        document.add_paragraph("Tuesday", style="List Bullet")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ["Day", "Hours", "Monday", "9|12"], strict=True):
            cell.text = text

    document = parse("a.docx", docx(write))
    assert document.text == (
        "# Opening hours\n\nWe open early.\n\n## Winter\n\n- Monday\n- Tuesday\n\n| Day | Hours |\n| --- | --- |\n| Monday | 9\\|12 |"
    )
    assert [(heading.text, heading.level, heading.start) for heading in document.headings] == [
        ("Opening hours", 1, 0),
        ("Winter", 2, document.text.index("## Winter")),
    ]
    assert (document.title, document.author) == ("Handbook", "Ann Example")
    assert document.create_time == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_the_title_of_a_word_file_stands_above_its_headings() -> None:
    def write(document: Document) -> None:
        document.add_heading("The whole", level=0)
        document.add_heading("A part", level=1)

    assert [heading.level for heading in parse("a.docx", docx(write)).headings] == [1, 2]


def test_tracked_insertions_and_content_controls_are_read_and_deletions_are_not() -> None:
    def write(document: Document) -> None:
        paragraph = document.add_paragraph("Kept")
        for tag, text in (("ins", "<w:t> and added</w:t>"), ("del", "<w:delText> and removed</w:delText>")):
            paragraph._p.append(parse_xml(f"<w:{tag} {nsdecls('w')} w:id='1' w:author='x'><w:r>{text}</w:r></w:{tag}>"))
        control = f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        document.element.body.insert(0, parse_xml(control))

    assert parse("a.docx", docx(write)).text == "In a control\n\nKept and added"


def test_styles_that_are_based_on_each_other_in_a_circle_end() -> None:
    def write(document: Document) -> None:
        first, second = document.styles["Body Text"], document.styles["Caption"]
        for style, base in ((first, second), (second, first)):
            style.base_style = base
        document.add_paragraph("Round and round.", style="Caption")

    assert parse("a.docx", docx(write)).text == "Round and round."


def test_every_slide_is_a_page_with_its_title_bullets_and_notes() -> None:
    document = parse("a.pptx", pptx([("Plan", ["Buy", "Build"], "Say it slowly."), ("Budget", ["Ten euros"], "")]))
    pages = [document.text[page.start : page.end] for page in document.pages]
    assert pages == ["# Plan\n\n- Buy\n- Build\n\nNotes: Say it slowly.", "# Budget\n\nTen euros"]
    assert [heading.text for heading in document.headings] == ["Plan", "Budget"]


def test_a_table_on_a_slide_without_title_stands_under_the_slides_number() -> None:
    document = parse("a.pptx", pptx_with_table([["Item", "Price"], ["Pen", "2"]]))
    assert document.text == "# Slide 1\n\n| Item | Price |\n| --- | --- |\n| Pen | 2 |"


def test_a_presentation_without_words_has_no_text() -> None:
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.pptx", pptx([("", [""], "")]))
    assert rejection.value.reason is RejectionReason.NO_TEXT


def test_every_sheet_is_a_section_with_its_values_as_a_table() -> None:
    rows: list[list[object]] = [["Item", "Price", "Since"], ["Pen", 2.5, date(2024, 1, 31)], [], ["Ink", 0.1 + 0.2, None]]
    document = parse("a.xlsx", xlsx({"Prices": rows, "Empty": [], "Codes": [["A"], [True]]}))
    assert document.text == (
        "# Prices\n\n| Item | Price | Since |\n| --- | --- | --- |\n| Pen | 2.5 | 2024-01-31 |\n| Ink | 0.3 |  |\n\n"
        "# Codes\n\n| A |\n| --- |\n| True |"
    )
    assert [heading.text for heading in document.headings] == ["Prices", "Codes"]


def test_a_long_table_repeats_its_header_so_that_any_part_names_its_columns() -> None:
    document = parse("a.xlsx", xlsx({"Long": [["Key", "Value"], *([f"key {n}", "x" * 50] for n in range(100))]}))
    pieces = document.text.split("\n\n")[1:]
    assert len(pieces) > 3
    assert all(piece.startswith("| Key | Value |\n| --- | --- |\n| key ") for piece in pieces)
    assert sum(piece.count("| key ") for piece in pieces) == 100


@pytest.mark.parametrize(("rows", "what"), [([["x"]] * 11, "10 rows"), ([["x"] * 11], "11 columns")])
def test_sheets_beyond_the_limits_are_refused(rows: list[list[object]], what: str) -> None:
    with pytest.raises(DocumentRejected, match=what) as rejection:
        parse("a.xlsx", xlsx({"Large": rows}), limits=DocumentLimits(max_table_rows=10, max_table_columns=10))
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE
