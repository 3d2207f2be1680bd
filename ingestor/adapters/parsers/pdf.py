"""PDF, with pypdfium2: each page's text layer or else its picture's text, the outline as headings, and what the PDF tells of itself."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import NoReturn, TypeAlias

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from ingestor.adapters.parsers.ocr import RecognitionNeeded, available, missing
from ingestor.adapters.parsers.scans import has_picture, recognised_page
from ingestor.domain.document_builder import DocumentBuilder, one_line, shortened, too_large
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, Heading, ParsedDocument, RejectionReason, SourceFile

# PDFium writes U+0002 for a hyphen at the end of a line and leaves out the line's end: a word goes on, or a hyphenated one does.
_HYPHEN_IN_WORD = re.compile("\x02(?=[a-zß-öø-ÿœ])")
_DATE = re.compile(r"D?:?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?)?")
_PROGRAM_PREFIX = re.compile(r"Microsoft (?:Office )?(?:Word|PowerPoint|Excel) - ")
_NO_TITLES = ("untitled", "(anonymous)", "(unspecified)", "anonymous", "unspecified")
_OUTLINE_DEPTH = 9
_OUTLINE_ENTRIES = 5_000
_NOTHING_FOUND = "There is no text on the PDF's pages, and none was recognised on pictures of them. Send a sharper scan, or text."
PictureText: TypeAlias = Callable[[pdfium.PdfPage, DocumentLimits], str]
"""What to do with a page that has no text layer, but something drawn on it."""


def check(source: SourceFile, limits: DocumentLimits) -> None:
    """Open the document and count its pages.

    Raises:
        DocumentRejected: ``ENCRYPTED_DOCUMENT``, ``CORRUPT_DOCUMENT`` or ``DOCUMENT_TOO_LARGE``.
    """
    _open(source.content, limits).close()


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the pages' text in the order in which the file gives it.

    Raises:
        DocumentRejected: as for :func:`check`, or ``NO_TEXT`` where no page has a text layer.
        RecognitionNeeded: a page is a picture, and tesseract is installed.
    """
    return _read(source, limits, _left_to_recognition)


def recognise(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return the same, with the text of pages that are pictures recognised. Blocking: seconds for each of these.

    Raises:
        DocumentRejected: as for :func:`parse`; a page that cannot be recognised counts as empty unless all are.
    """
    return _read(source, limits, recognised_page)


def _left_to_recognition(_page: pdfium.PdfPage, _limits: DocumentLimits) -> NoReturn:
    if available():
        raise RecognitionNeeded
    raise missing("The PDF has no text layer: its pages are pictures")


def _read(source: SourceFile, limits: DocumentLimits, picture_text: PictureText) -> ParsedDocument:
    with _open(source.content, limits) as pdf:
        builder = DocumentBuilder(limits)
        unread = DocumentRejected(RejectionReason.NO_TEXT, _NOTHING_FOUND)
        for index in range(len(pdf)):
            builder.start_page()
            try:
                text = _page_text(pdf, index, limits, picture_text)
            except DocumentRejected as rejection:
                unread = rejection  # the other pages are worth having without it
            else:
                builder.paragraph(text)
        if builder.is_empty:
            raise unread
        information = pdf.get_metadata_dict()
        document = builder.build(
            "pdf",
            title=_known(_PROGRAM_PREFIX.sub("", information["Title"])),
            author=_known(information["Author"]),
            create_time=parse_date(information["CreationDate"]),
            update_time=parse_date(information["ModDate"]),
        )
        return replace(document, headings=tuple(_headings(pdf, document)))


def parse_date(value: str) -> datetime | None:
    """Return the time that a PDF date (``D:20240131120000+01'00'``) tells; parts after the year may be missing."""
    match = _DATE.match(value)
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(part) if part else first for part, first in zip(match.groups()[:6], (0, 1, 1, 0, 0, 0), strict=True)
    )
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone(-offset if match[7] == "-" else offset))
    except ValueError:
        return None


def _open(content: bytes, limits: DocumentLimits) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium_raw.FPDF_ERR_PASSWORD:
            message = "The PDF is protected by a password. Save it without one and send it again."
            raise DocumentRejected(RejectionReason.ENCRYPTED_DOCUMENT, message) from error
        if error.err_code == pdfium_raw.FPDF_ERR_SECURITY:
            message = "The PDF is encrypted in a way that cannot be read. Save it without protection and send it again."
            raise DocumentRejected(RejectionReason.ENCRYPTED_DOCUMENT, message) from error
        message = "The PDF is damaged or cut short. Open it in a PDF program, save it again and send the result."
        raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message) from error
    pages = len(document)
    if pages > limits.max_pages:
        document.close()
        raise too_large(f"{pages:,} pages, more than {limits.max_pages:,}")
    return document


def _page_text(pdf: pdfium.PdfDocument, index: int, limits: DocumentLimits, picture_text: PictureText) -> str:
    """Return one page's text, empty where it cannot be loaded: the others are worth having without it."""
    try:
        page = pdf[index]
    except pdfium.PdfiumError:
        return ""
    try:
        text_page = page.get_textpage()
        text: str = text_page.get_text_bounded()
        text_page.close()
        if not text.strip() and has_picture(page):
            return picture_text(page, limits)
    except pdfium.PdfiumError:
        return ""
    finally:
        page.close()
    return _HYPHEN_IN_WORD.sub("", text).replace("\x02", "-") if "\x02" in text else text


def _headings(pdf: pdfium.PdfDocument, document: ParsedDocument) -> Iterator[Heading]:
    """Yield the outline's entries where their words stand on the page they point to, else where the entry before them stands."""
    start = 0
    for entry in islice(pdf.get_toc(max_depth=_OUTLINE_DEPTH), _OUTLINE_ENTRIES):
        title = one_line(entry.get_title())
        target = entry.get_dest()
        index = target.get_index() if target is not None else None
        if not title or index is None or index >= document.page_count:
            continue
        page = document.pages[index]
        if page.end <= start or page.start == page.end:
            continue  # an entry that points back, or to a page without text
        start = _line_of(title, document.text, max(start, page.start), page.end)
        yield shortened(Heading(start, entry.level + 1, title, ""))


def _line_of(title: str, text: str, start: int, end: int) -> int:
    words = re.compile(r"\s+".join(map(re.escape, title.split())), re.IGNORECASE)
    match = words.search(text, start, end)
    return max(start, text.rfind("\n", start, match.start()) + 1) if match else start


def _known(value: str) -> str | None:
    return None if value.strip().lower() in _NO_TITLES else value
