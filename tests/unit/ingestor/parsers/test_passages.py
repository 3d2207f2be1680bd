"""Whatever the format: passages are stretches of the document's text, on their page, under their headings."""

import json
import re
from collections.abc import Callable

import pytest
from docx.document import Document as WordDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestor.domain.chunking import ChunkLimits, cut
from ingestor.domain.parsing import ParsedDocument
from tests.unit.ingestor.parsers.containers import epub, msg, odf, odf_table
from tests.unit.ingestor.parsers.files import docx, parse, pdf, pptx, pptx_with_table, xlsx

Rows = list[list[str]]
# Markup of any of the formats must stay text in all of them; "word" makes passages long enough to be cut.
WORDS = st.lists(st.sampled_from(["word", "Wörter", "a|b", "# no", "1.5", "x. Y", "日本。"]), min_size=1, max_size=12).map(" ".join)
ROWS = st.lists(st.lists(WORDS, min_size=2, max_size=3), min_size=1, max_size=12)


def _docx(rows: Rows) -> bytes:
    def write(document: WordDocument) -> None:
        document.add_heading(rows[0][0], 1)
        table = document.add_table(len(rows), 3)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                table.cell(row, column).text = cell

    return docx(write)


def _rtf(rows: Rows) -> bytes:
    def escaped(text: str) -> str:
        return "".join(character if character.isascii() else f"\\u{ord(character)}?" for character in text)

    body = "\\par ".join(escaped(row[1]) for row in rows)
    return (r"{\rtf1\outlinelevel0 " + escaped(rows[0][0]) + r"\par\pard " + body + "}").encode()


MAKERS: dict[str, Callable[[Rows], bytes]] = {
    "pdf": lambda rows: pdf([[cell.encode("latin-1", "replace").decode("latin-1") for cell in row] for row in rows]),
    "docx": _docx,
    "pptx": lambda rows: pptx([(row[0], row[1:], row[0]) for row in rows]),
    "xlsx": lambda rows: xlsx({"Sheet": rows}),
    "odt": lambda rows: odf("odt", f"<text:h>{rows[0][0]}</text:h>{odf_table(rows)}<text:p>{rows[-1][0]}</text:p>"),
    "ods": lambda rows: odf("ods", odf_table(rows)),
    "odp": lambda rows: odf("odp", "".join(f"<draw:page><draw:frame><text:p>{row[0]}</text:p></draw:frame></draw:page>" for row in rows)),
    "rtf": _rtf,
    "epub": lambda rows: epub({f"{n}.xhtml": f"<h1>{row[0]}</h1><p>{row[1]}</p>" for n, row in enumerate(rows)}),
    "msg": lambda rows: msg(subject=rows[0][0], body="\n\n".join(" ".join(row) for row in rows)),
    "html": lambda rows: "".join(f"<h2>{row[0]}</h2><p>{row[1]}</p>" for row in rows).encode(),
    "md": lambda rows: "\n\n".join(f"## {row[0]}\n\n{row[1]}" for row in rows).encode(),
    "txt": lambda rows: "\n".join(" ".join(row) for row in rows).encode(),
    "csv": lambda rows: "\n".join(",".join(row) for row in rows).encode(),
    "eml": lambda rows: f"From: a@example.org\nSubject: S\n\n{rows[0]}".encode(),
    "json": lambda rows: json.dumps({"rows": rows[0][0]}).encode(),
}


@pytest.mark.parametrize("type_", MAKERS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS)
def test_a_passage_is_a_stretch_of_the_text_on_its_page_under_its_headings(type_: str, rows: Rows) -> None:
    document = parse(f"a.{type_}", MAKERS[type_](rows))
    assert document.type == type_
    _check_headings(document)
    chunks = cut(document, [match.start() for match in re.finditer(r"\w+|[^\w\s]", document.text)], ChunkLimits(15, 20))
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(document.text.split())
    for chunk in chunks:
        assert chunk.text == document.text[chunk.start : chunk.end]
        pages = [page.number for page in document.pages if page.start <= chunk.start and chunk.end <= page.end]
        assert pages == ([chunk.first_page] if document.pages else [])
        assert set(chunk.headings) <= {heading.text for heading in document.headings}


def _check_headings(document: ParsedDocument) -> None:
    for heading in document.headings:
        line = document.text[heading.start :].split("\n")[0]
        assert " ".join(line.strip("# ").split()) == heading.text.strip("# ")


ITEMS = [["Part", "Price of it"], *([f"Hook {n}", f"{n}.50 euros"] for n in range(60))]
LONG = [[f"Column number {n} with a long name" for n in range(40)], *([f"value {row}-{n}" for n in range(40)] for row in range(3))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\n".join(",".join(row) for row in ITEMS).encode()),
        ("a.xlsx", xlsx({"Sheet": ITEMS})),
        ("a.ods", odf("ods", odf_table(ITEMS))),
        ("a.odt", odf("odt", odf_table(ITEMS))),
        ("a.docx", _docx(ITEMS)),
        ("a.pptx", pptx_with_table(ITEMS)),
        ("a.html", ("<table>" + "".join(f"<tr><td>{row[0]}<td>{row[1]}" for row in ITEMS) + "</table>").encode()),
        ("a.md", ("| Part | Price of it |\n|---|---|\n" + "\n".join(f"| {row[0]} | {row[1]} |" for row in ITEMS[1:])).encode()),
    ],
)
def test_every_passage_of_a_long_table_has_whole_rows_and_names_its_columns(name: str, content: bytes) -> None:
    document = parse(name, content)
    chunks = cut(document, [match.start() for match in re.finditer(r"\w+|[^\w\s]", document.text)], ChunkLimits(60, 80))
    rows = [chunk for chunk in chunks if "Hook" in chunk.text]
    assert len(rows) > 5
    for chunk in rows:
        assert "Price of it" in (chunk.table_header or chunk.text.split("\n")[0] + chunk.text)
        assert all(line.startswith("|") and line.endswith("|") for line in chunk.text.split("\n") if "Hook" in line)
    assert [line for chunk in chunks for line in chunk.text.split("\n") if "Hook" in line] == [
        line for line in document.text.split("\n") if "Hook" in line
    ]


@pytest.mark.parametrize(("name", "content"), [("a.csv", "\n".join(",".join(row) for row in LONG).encode()), ("a.xlsx", xlsx({"S": LONG}))])
def test_each_value_of_a_table_wider_than_a_passage_stands_behind_its_column(name: str, content: bytes) -> None:
    text = parse(name, content).text
    assert "Column number 7 with a long name: value 2-7 | " in text
    assert text.count("\n- ") == 3
