"""Pages that are pictures are read by tesseract, and only they: with a program that speaks its command line, and with the real one."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from ingestor.adapters.parsers import formats
from ingestor.adapters.parsers.ocr import RecognitionNeeded
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile
from tests.unit.ingestor.parsers.containers import picture
from tests.unit.ingestor.parsers.files import LIMITS, parse, pdf, source
from tests.unit.ingestor.parsers.test_programs import ENDLESS, install, rejection, running

# Says how large the picture and its resolution are, and then does what the file beside it says.
TESSERACT = """#!{python}
import pathlib, sys
if "--list-langs" in sys.argv:
    print("List of available languages (1):", "eng", sep="\\n")
else:
    kind, size, _ = sys.stdin.buffer.read().split(b"\\n", 2)
    print(kind.decode(), size.decode(), *sys.argv[-2:])
    exec((pathlib.Path(__file__).parent / "then").read_text())
"""
SCAN = picture("The harbour crane", size=(900, 1273))


@pytest.fixture
def tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says what tesseract does in the end."""
    install(tmp_path, "tesseract", TESSERACT)
    monkeypatch.setenv("PATH", str(tmp_path))
    then = tmp_path / "then"
    then.touch()
    return then


def recognise(content: bytes, limits: DocumentLimits = LIMITS) -> ParsedDocument:
    return formats.recognise(source("a.pdf", content), limits)


def texts(document: ParsedDocument) -> list[str]:
    return [document.text[page.start : page.end] for page in document.pages]


@pytest.mark.usefixtures("tesseract")
def test_only_the_pages_without_text_are_recognised_and_every_page_keeps_its_number() -> None:
    file = pdf([["The first page."], SCAN, [], ["The fourth page."]], title="Cranes", outline={3: [("The fourth page", 0)]})
    with pytest.raises(RecognitionNeeded):
        parse("a.pdf", file)
    document = recognise(file)
    assert texts(document) == ["The first page.", "P5 2481 3508 --dpi 300", "", "The fourth page."]
    assert [page.number for page in document.pages] == [1, 2, 3, 4]
    assert (document.title, [heading.text for heading in document.headings]) == ("Cranes", ["The fourth page"])


@pytest.mark.usefixtures("tesseract")
def test_a_pdf_whose_every_page_has_text_or_nothing_needs_no_recognition() -> None:
    assert texts(parse("a.pdf", pdf([["The first page."], []]))) == ["The first page.", ""]


@pytest.mark.usefixtures("tesseract")
def test_a_huge_page_is_drawn_smaller() -> None:
    [text] = texts(recognise(pdf([SCAN], size=(14_400, 14_400))))
    kind, width, height, _, dpi = text.split()
    assert (kind, int(width), int(height)) == ("P5", 200 * int(dpi), 200 * int(dpi))
    assert int(width) * int(height) <= LIMITS.max_page_pixels


def test_without_tesseract_a_scan_has_no_text_and_the_reason_names_it_but_pages_with_text_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DocumentRejected, match="tesseract") as rejected:
        parse("a.pdf", pdf([SCAN]))
    assert rejected.value.reason is RejectionReason.NO_TEXT
    assert texts(parse("a.pdf", pdf([SCAN, ["The second page."]]))) == ["", "The second page."]


@pytest.mark.parametrize(
    ("then", "reason", "message"),
    [
        ("sys.exit(1)", RejectionReason.NO_TEXT, "exit status 1"),
        ("import time; time.sleep(600)", RejectionReason.PARSER_TIMEOUT, "longer than 1 s"),
    ],
)
def test_a_page_that_cannot_be_recognised_leaves_the_others_and_says_why_where_there_are_none(
    tesseract: Path, then: str, reason: RejectionReason, message: str
) -> None:
    tesseract.write_text(then)
    limits = DocumentLimits(max_picture_seconds=1.0)
    assert texts(recognise(pdf([SCAN, ["The second page."]]), limits)) == ["", "The second page."]
    with pytest.raises(DocumentRejected, match=message) as rejected:
        recognise(pdf([SCAN]), limits)
    assert rejected.value.reason is reason


async def test_others_are_parsed_while_a_scan_is_recognised_which_ends_in_its_time(tmp_path: Path) -> None:
    install(tmp_path, "tesseract", ENDLESS)
    async with running(tmp_path, processes=ProcessLimits(recognition_seconds=4.0)) as pool:
        recognising = asyncio.create_task(rejection(pool, SourceFile("a.pdf", pdf([SCAN]))))
        assert (await pool.parse(source("a.txt", "Text."))).text == "Text."
        assert not recognising.done()
        assert (await recognising).reason is RejectionReason.PARSER_TIMEOUT


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
async def test_the_real_tesseract_reads_the_scanned_pages_of_a_pdf() -> None:
    async with running(os.environ["PATH"]) as pool:
        document = await pool.parse(SourceFile("a.pdf", pdf([["The first page."], SCAN])))
    assert texts(document) == ["The first page.", "The harbour crane"]
