from datetime import UTC, datetime

import pytest

from ingestor.domain.parsing import DocumentLimits, DocumentRejected, RejectionReason
from tests.unit.ingestor.parsers.containers import ODF, odf, odf_table
from tests.unit.ingestor.parsers.files import check, parse, with_part


def test_a_text_keeps_headings_lists_and_tables_in_their_order() -> None:
    body = (
        '<text:p text:style-name="P1">Annual report</text:p><text:h text:outline-level="1">Prices</text:h>'
        '<text:p>One<text:tab/>two<text:s text:c="999999999"/>three<text:line-break/>four</text:p>'
        "<text:list><text:list-item><text:p>Outer</text:p><text:list><text:list-item><text:p>Inner</text:p></text:list-item></text:list>"
        f"</text:list-item></text:list>{odf_table([['Part', 'Price'], ['Hook', '12']])}"
        "<text:section><text:p>In a section<text:note><text:note-body><text:p>a footnote</text:p></text:note-body></text:note>.</text:p>"
        "</text:section>"
    )
    styles = '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>'
    document = parse("a.odt", odf("odt", body, styles=styles))
    assert document.text == (
        "# Annual report\n\n## Prices\n\nOne\ttwo three\nfour\n\n- Outer\n  - Inner\n\n"
        "| Part | Price |\n| --- | --- |\n| Hook | 12 |\n\nIn a section."
    )
    assert [(heading.text, heading.level) for heading in document.headings] == [("Annual report", 1), ("Prices", 2)]


def test_title_author_and_times_come_from_the_meta_part() -> None:
    meta = (
        "<dc:title>Report</dc:title><meta:initial-creator>Ann</meta:initial-creator><dc:creator>Bob</dc:creator>"
        "<meta:creation-date>2024-05-01T12:00:00</meta:creation-date><dc:date>never</dc:date>"
    )
    document = parse("a.odt", odf("odt", "<text:p>Text.</text:p>", meta=meta))
    assert (document.title, document.author) == ("Report", "Ann")
    assert (document.create_time, document.update_time) == (datetime(2024, 5, 1, 12, tzinfo=UTC), None)


def test_repeated_cells_and_rows_count_as_often_as_they_stand_there() -> None:
    cells = (
        '<table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell><table:table-cell/>'
        '<table:table-cell><text:p>y</text:p></table:table-cell><table:table-cell table:number-columns-repeated="16000"/>'
    )
    row = (
        f'<table:table-row table:number-rows-repeated="2">{cells}</table:table-row>'
        '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    )
    document = parse("a.ods", odf("ods", f'<table:table table:name="Parts">{row}</table:table>'))
    assert document.text == "# Parts\n\n| x | x |  | y |\n| --- | --- | --- | --- |\n| x | x |  | y |"


@pytest.mark.parametrize(("attribute", "found"), [("table:number-columns-repeated", "columns"), ("table:number-rows-repeated", "rows")])
def test_a_cell_or_row_repeated_a_million_times_is_refused(attribute: str, found: str) -> None:
    element = "table:table-cell" if found == "columns" else "table:table-row"
    table = "<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row></table:table>"
    table = table.replace(f"<{element}>", f'<{element} {attribute}="999999999">')
    with pytest.raises(DocumentRejected, match=found) as rejection:
        parse("a.ods", odf("ods", table), limits=DocumentLimits(max_table_rows=1_000))
    assert rejection.value.reason is RejectionReason.DOCUMENT_TOO_LARGE


def test_every_slide_is_a_page_under_its_title_with_its_notes() -> None:
    def frame(kind: str, text: str) -> str:
        return f'<draw:frame presentation:class="{kind}"><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>'

    def slide(title: str, text: str, notes: str) -> str:
        notes = f"<presentation:notes>{frame('notes', notes)}{frame('page-number', '7')}</presentation:notes>"
        return f"<draw:page>{frame('title', title)}{frame('outline', text)}{notes}</draw:page>"

    document = parse("a.odp", odf("odp", slide("Cranes", "Repaired.", "Say when.") + slide("", "Untitled text.", "") + slide("", "", "")))
    assert [document.text[page.start : page.end] for page in document.pages] == [
        "# Cranes\n\nRepaired.\n\nNotes: Say when.",
        "# Slide 2\n\nUntitled text.",
        "",
    ]


def test_a_password_is_told_from_damage() -> None:
    manifest = '<manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry>'
    with pytest.raises(DocumentRejected) as rejection:
        parse("a.odt", odf("odt", "<text:p>Text.</text:p>", manifest=manifest))
    assert rejection.value.reason is RejectionReason.ENCRYPTED_DOCUMENT


def test_entities_are_refused_and_those_of_an_old_manifest_left_alone() -> None:
    file = odf("odt", "<text:p>Text.</text:p>")
    bomb = b'<!DOCTYPE a [<!ENTITY x "ha">]><a>&x;</a>'
    with pytest.raises(DocumentRejected, match="document type") as rejection:
        check("a.odt", with_part(file, "content.xml", bomb))
    assert rejection.value.reason is RejectionReason.CORRUPT_DOCUMENT
    manifest = (
        f'<!DOCTYPE m:manifest PUBLIC "-//OpenOffice.org//DTD Manifest 1.0//EN" "Manifest.dtd"><m:manifest xmlns:m="{ODF}:manifest:1.0"/>'
    )
    assert parse("a.odt", with_part(file, "META-INF/manifest.xml", manifest.encode())).text == "Text."
