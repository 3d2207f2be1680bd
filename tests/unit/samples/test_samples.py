"""The sample library and its questions are what `samples/README.md` says they are."""

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest
import yaml

from samples import build

SAMPLES = Path(__file__).parents[3] / "samples"
LIBRARY = SAMPLES / "library"
QUESTIONS: list[dict[str, Any]] = yaml.safe_load((SAMPLES / "questions.yaml").read_text(encoding="utf-8"))
ANSWERABLE = [question for question in QUESTIONS if question["answerable"]]
DOCUMENTS = sorted(LIBRARY.iterdir())
UNANSWERABLE = [question for question in QUESTIONS if not question["answerable"]]


class TextCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def pdf_pages(content: bytes) -> list[str]:
    with pypdfium2.PdfDocument(content) as document:
        return [page.get_textpage().get_text_range() for page in document]


def docx_text(content: bytes) -> str:
    document = docx.Document(BytesIO(content))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([paragraph.text for paragraph in document.paragraphs] + cells)


def html_text(content: bytes) -> str:
    collector = TextCollector()
    collector.feed(content.decode("utf-8"))
    return "".join(collector.parts)


def csv_rows(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return list(csv.reader(StringIO(text), delimiter=delimiter))


READERS: dict[str, Callable[[bytes], str]] = {
    ".pdf": lambda content: "\n".join(pdf_pages(content)),
    ".docx": docx_text,
    ".html": html_text,
    ".csv": lambda content: "\n".join(cell for row in csv_rows(content) for cell in row),
    ".md": lambda content: content.decode("utf-8"),
}


def collapsed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["id"])
def test_the_answer_stands_in_the_named_document_and_on_the_named_page(question: dict[str, Any]) -> None:
    path = LIBRARY / question["document"]
    if path.suffix == ".pdf":
        text = pdf_pages(path.read_bytes())[question["page"] - 1]
    else:
        assert "page" not in question
        text = READERS[path.suffix](path.read_bytes())
    assert collapsed(question["answer"]) in collapsed(text)


def test_question_ids_are_unique_and_begin_with_their_language() -> None:
    ids = [question["id"] for question in QUESTIONS]
    assert len(set(ids)) == len(ids)
    assert [question["id"].partition("-")[0] for question in QUESTIONS] == [question["language"] for question in QUESTIONS]


def test_every_document_is_asked_about() -> None:
    assert {question["document"] for question in ANSWERABLE} == {path.name for path in DOCUMENTS}


def test_both_languages_have_questions_with_and_without_an_answer() -> None:
    for questions in (ANSWERABLE, UNANSWERABLE):
        counts = [sum(question["language"] == language for question in questions) for language in ("en", "fr")]
        assert min(counts) >= len(questions) * 0.45


def test_an_unanswerable_question_names_no_document() -> None:
    assert len(UNANSWERABLE) == 6
    assert all(set(question) == {"id", "language", "question", "answerable"} for question in UNANSWERABLE)


@pytest.mark.parametrize("name", build.FORMATS)
def test_a_rebuilt_document_has_the_text_of_the_committed_one(name: str) -> None:
    suffix = build.FORMATS[name]
    committed = (LIBRARY / f"{name}{suffix}").read_bytes()
    assert READERS[suffix](build.build(name)) == READERS[suffix](committed)


@pytest.mark.parametrize("name", build.FORMATS)
def test_building_twice_gives_the_same_bytes(name: str) -> None:
    assert build.build(name) == build.build(name)


def test_a_pdf_says_on_each_page_which_page_it_is() -> None:
    pages = pdf_pages((LIBRARY / "reglement-interieur.pdf").read_bytes())
    assert len(pages) >= 3
    for number, text in enumerate(pages, start=1):
        assert f"Page {number} sur {len(pages)}" in text


def test_a_character_that_the_pdf_font_lacks_is_named(tmp_path: Path) -> None:
    source = tmp_path / "greek.md"
    source.write_text("---\ntitle: Ω\n---\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"greek\.md: 'Ω' has no glyph"):
        build.read_source(source)


def test_a_source_without_a_complete_header_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "short.md"
    source.write_text("---\ntitle: Short\nlanguage: en\n---\nText.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the header lacks author, date, reference"):
        build.read_source(source)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_readme_lists_the_document(path: Path) -> None:
    assert f"| `{path.name}` |" in (SAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.csv")), ids=lambda path: path.name)
def test_every_row_of_a_table_has_as_many_fields_as_its_header(path: Path) -> None:
    header, *rows = csv_rows(path.read_bytes())
    assert {len(row) for row in rows} == {len(header)}
