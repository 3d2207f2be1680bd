"""What a parser is given, what it hands back, and why it may refuse.

A parser turns one file into a :class:`ParsedDocument`: one text, with the places of its pages and headings in it. All offsets count
characters of ``ParsedDocument.text``.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

TYPE_NAMES = {
    "pdf": "PDF",
    "docx": "Word (.docx)",
    "pptx": "PowerPoint (.pptx)",
    "xlsx": "Excel (.xlsx)",
    "odt": "OpenDocument text (.odt)",
    "ods": "OpenDocument spreadsheet (.ods)",
    "odp": "OpenDocument presentation (.odp)",
    "rtf": "Rich Text (.rtf)",
    "epub": "EPUB",
    "html": "HTML",
    "md": "Markdown",
    "txt": "plain text",
    "csv": "CSV",
    "eml": "e-mail (.eml)",
    "msg": "Outlook message (.msg)",
    "json": "JSON",
    "png": "PNG",
    "jpeg": "JPEG",
    "tiff": "TIFF",
    "webp": "WebP",
}
"""Every type that has a parser, with the name that people know it by. The type of a file that is converted first is its extension."""

MEBIBYTE = 1 << 20


class RejectionReason(StrEnum):
    """Why a document cannot be taken in; stable names that clients may rely on."""

    EMPTY_FILE = "EMPTY_FILE"
    NO_TEXT = "NO_TEXT"
    CORRUPT_DOCUMENT = "CORRUPT_DOCUMENT"
    ENCRYPTED_DOCUMENT = "ENCRYPTED_DOCUMENT"
    INVALID_ENCODING = "INVALID_ENCODING"
    BINARY_CONTENT = "BINARY_CONTENT"
    ARCHIVE_TOO_LARGE = "ARCHIVE_TOO_LARGE"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    CONVERTER_MISSING = "CONVERTER_MISSING"
    EXTENSION_MISMATCH = "EXTENSION_MISMATCH"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE"
    PARSER_TIMEOUT = "PARSER_TIMEOUT"
    PARSER_CRASHED = "PARSER_CRASHED"
    PARSER_OUT_OF_MEMORY = "PARSER_OUT_OF_MEMORY"


class DocumentRejected(Exception):  # noqa: N818 - an outcome of the work, not a failure of the program
    """The file cannot be taken in, and trying again with the same bytes would end the same way.

    Attributes:
        reason: the stable name of what is wrong.
        message: what is wrong and what the owner of the file can do about it.
    """

    def __init__(self, reason: RejectionReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class ParserUnavailable(Exception):  # noqa: N818
    """No parser could run. This says nothing about the document: the work may be tried again."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it came in.

    Attributes:
        name: the file's name; its extension decides only among textual types.
        declared_media_type: what the sender called it, parameters included (``text/html; charset=iso-8859-1``).
    """

    name: str
    content: bytes
    declared_media_type: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """How much one document may hold before it is refused as ``DOCUMENT_TOO_LARGE`` or ``ARCHIVE_TOO_LARGE``.

    Attributes:
        max_archive_bytes: sum of the sizes of a zip container's parts once unpacked.
        max_archive_ratio: unpacked over packed size of the whole container; only looked at above one MiB unpacked.
        max_table_columns: columns of a CSV file or of a spreadsheet.
        max_nesting: levels of objects and arrays in JSON.
        max_image_pixels: width by height of one picture, before it is decoded; an A3 page at 600 dpi has 70 million.
        max_page_pixels: width by height of one page that is drawn to be recognised; a larger one is drawn smaller. An A3 page at 300 dpi
            has 17 million.
        max_picture_seconds: time in which the text of one picture or drawn page has to be recognised.
    """

    max_text_chars: int = 20_000_000
    max_pages: int = 20_000
    max_headings: int = 100_000
    max_table_columns: int = 2_000
    max_table_rows: int = 1_000_000
    max_nesting: int = 100
    max_image_pixels: int = 100_000_000
    max_page_pixels: int = 20_000_000
    max_picture_seconds: float = 120.0
    max_archive_bytes: int = 256 * MEBIBYTE
    max_archive_ratio: int = 200
    max_archive_entries: int = 10_000


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and where it stands.

    Attributes:
        start: offset of the heading's own line.
        level: 1 is the outermost.
        anchor: the fragment that opens the section in the source (``page#anchor``); empty where the format has none.
    """

    start: int
    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class PageSpan:
    """The part of the text that one page holds: ``text[start:end]``; empty for a page without text. Pages count from 1."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document's text and what is known about it.

    Attributes:
        text: Markdown, or plain text where the format knows no structure; never blank, always encodable as UTF-8 and without NUL.
        type: a key of :data:`TYPE_NAMES`, or the extension that stands for it.
        language: ISO 639-1 code, empty when unsure.
        create_time: with a time zone; UTC where the source names none.
        pages: in order and without overlap; empty for formats without pages.
        headings: in order of ``start``.
    """

    text: str
    type: str
    title: str | None = None
    author: str | None = None
    language: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    pages: tuple[PageSpan, ...] = ()
    headings: tuple[Heading, ...] = ()

    @property
    def page_count(self) -> int:
        """Pages of the document, those without text included; 0 for formats without pages."""
        return len(self.pages)


class Parser(Protocol):
    """Turns files into text."""

    async def check(self, source: SourceFile) -> str:
        """Tell a file's type from its content and open its container, while the sender waits for the answer.

        Returns:
            The type: a key of :data:`TYPE_NAMES`, or the extension of a file that is converted first.

        Raises:
            DocumentRejected: the file is of no supported type, broken, encrypted or a bomb.
            ParserUnavailable: no parser could run.
        """
        ...

    async def parse(self, source: SourceFile) -> ParsedDocument:
        """Read the whole file.

        Raises:
            DocumentRejected: the file cannot be read, holds no text, or outgrew a limit.
            ParserUnavailable: no parser could run.
        """
        ...

    async def languages(self, texts: Sequence[str]) -> Sequence[str]:
        """Tell the languages of texts that came as they are, not as files; one call for many is much cheaper than many calls.

        Returns:
            For each text an ISO 639-1 code, empty when unsure.

        Raises:
            ParserUnavailable: no parser could run.
        """
        ...

    def unpack(self, archive: SourceFile) -> AsyncIterator[SourceFile]:
        """Yield the files of an archive that :meth:`check` has called ``zip``, one at a time.

        Raises:
            DocumentRejected: the archive is damaged or empty.
        """
        ...
