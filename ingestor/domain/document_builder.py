"""Builds a document's text block by block, and keeps the offsets of its pages and headings right while doing so."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest

from ingestor.domain.parsing import DocumentLimits, DocumentRejected, Heading, PageSpan, ParsedDocument, RejectionReason

# What a database refuses (NUL, lone surrogates) or no reader can see (other controls, soft hyphens, byte order marks, noncharacters).
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xad\ud800-\udfff\ufeff\ufffe\uffff]")
_MAX_TITLE_CHARS = 500
# A table longer than this, which few passages are shorter than, is written as several with the same header: a passage from its middle
# names its columns too.
_TABLE_PIECE_CHARS = 400


def too_large(what: str) -> DocumentRejected:
    """Return the rejection of a document that holds more than is taken in; ``what`` names the amount and its limit."""
    return DocumentRejected(RejectionReason.DOCUMENT_TOO_LARGE, f"The file holds {what}. Split it into smaller files.")


def clean_text(text: str) -> str:
    """Return ``text`` with line feeds as line ends and without characters that cannot be stored or seen."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("", text)


def one_line(text: str) -> str:
    """Return ``text`` cleaned, with every run of whitespace as one space."""
    return " ".join(clean_text(text).split())


def shortened(heading: Heading) -> Heading:
    """Return ``heading`` with its text cut to a title's length, and without an anchor longer than that: every passage repeats them."""
    if max(len(heading.text), len(heading.anchor)) <= _MAX_TITLE_CHARS:
        return heading
    anchor = heading.anchor if len(heading.anchor) <= _MAX_TITLE_CHARS else ""
    return replace(heading, text=heading.text[:_MAX_TITLE_CHARS], anchor=anchor)


def aware(time: datetime | None) -> datetime | None:
    """Return ``time`` with a time zone: UTC where it has none."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


class DocumentBuilder:
    """Collects blocks in reading order; blocks are set apart by a blank line, items of one list by a line end.

    Every adding method raises :class:`DocumentRejected` as soon as a limit is passed, so that a bomb ends early.
    """

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._in_list = False
        self._headings: list[Heading] = []
        self._pages: list[PageSpan] = []

    @property
    def is_empty(self) -> bool:
        """Whether no text was added yet."""
        return not self._length

    def paragraph(self, text: str) -> int:
        """Add a block as it is, inner line ends included; blank text adds nothing.

        Returns:
            The offset at which the block starts.
        """
        text = clean_text(text).strip("\n")
        if not text.strip():
            return self._length
        self._in_list = False
        return self._append(text, "\n\n")

    def item(self, text: str, level: int = 0) -> None:
        """Add an item to the current list, or start one; ``level`` counts from 0."""
        text = one_line(text)
        if text:
            self._append("  " * level + "- " + text, "\n" if self._in_list else "\n\n")
            self._in_list = True

    def lines(self, lines: Iterable[str]) -> None:
        """Add a block line by line, so that an endless one ends at the limit instead of filling the memory."""
        self._in_list = False
        separator = "\n\n"
        for line in map(clean_text, lines):
            if line.strip():
                self._append(line, separator)
                separator = "\n"

    def heading(self, text: str, level: int, anchor: str = "") -> None:
        """Add a heading line in Markdown's notation; blank text adds nothing."""
        text = one_line(text)
        if text:
            start = self.paragraph("#" * min(level, 6) + " " + text)
            self.mark_heading(Heading(start, level, text, anchor))

    def mark_heading(self, heading: Heading) -> None:
        """Note a heading whose line is already in the text."""
        if len(self._headings) == self._limits.max_headings:
            raise too_large(f"more than {self._limits.max_headings:,} headings")
        self._headings.append(shortened(heading))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Add a Markdown table whose first row is its header; a long one becomes several, each with the header.

        Of one whose header alone is as long as a passage, every row becomes a list item instead, each value behind its column's name.
        """
        filled = (row for row in rows if any(cell.strip() for cell in row))
        first = next(filled, None)
        if first is None:
            return
        header = table_line(first) + "\n|" + " --- |" * len(first)
        if len(header) > _TABLE_PIECE_CHARS:
            self._records(first, filled)
            return
        piece, size = [header], len(header)
        for line in map(table_line, filled):
            if len(piece) > 1 and size + len(line) > _TABLE_PIECE_CHARS:
                self.paragraph("\n".join(piece))
                piece, size = [header], len(header)
            piece.append(line)
            size += len(line) + 1
        self.paragraph("\n".join(piece))

    def _records(self, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.paragraph("Columns: " + " | ".join(map(one_line, names)))
        for row in rows:
            named = ((name, one_line(cell)) for name, cell in zip_longest(names, row, fillvalue=""))
            self.item(" | ".join(f"{one_line(name)}: {value}" if name.strip() else value for name, value in named if value))

    def start_page(self) -> None:
        """Begin the next page: what is added from here on stands on it."""
        if len(self._pages) == self._limits.max_pages:
            raise too_large(f"more than {self._limits.max_pages:,} pages")
        self._in_list = False
        self._pages.append(PageSpan(len(self._pages) + 1, self._length, self._length))

    def build(
        self,
        type_: str,
        *,
        title: str | None = None,
        author: str | None = None,
        language: str = "",
        create_time: datetime | None = None,
        update_time: datetime | None = None,
    ) -> ParsedDocument:
        """Return the document.

        Args:
            type_: a key of ``TYPE_NAMES``.
            title: cut after 500 characters, whitespace collapsed; so is the author.
            author: names or addresses as the file has them.
            create_time: taken as UTC where it has no time zone; so is the update time.
            update_time: of the content, not of the upload.
            language: what the file itself declares, as a language tag (``fr``, ``fr-CA``); anything else counts as unknown.

        Raises:
            DocumentRejected: nothing but whitespace was added (``NO_TEXT``).
        """
        if self.is_empty:
            raise DocumentRejected(RejectionReason.NO_TEXT, "The file holds no text. Add some, or leave the file out.")
        return ParsedDocument(
            text="".join(self._parts),
            type=type_,
            title=_label(title),
            author=_label(author),
            language=_language_code(language),
            create_time=aware(create_time),
            update_time=aware(update_time),
            pages=tuple(self._pages),
            headings=tuple(self._headings),
        )

    def _append(self, block: str, separator: str) -> int:
        start = self._length + (len(separator) if self._length else 0)
        if start + len(block) > self._limits.max_text_chars:
            raise too_large(f"more than {self._limits.max_text_chars:,} characters of text")
        if self._length:
            self._parts.append(separator)
        self._parts.append(block)
        self._length = start + len(block)
        if self._pages:
            page = self._pages[-1]
            first_on_page = page.start == page.end
            self._pages[-1] = PageSpan(page.number, start if first_on_page else page.start, self._length)
        return start


def table_line(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table; a cell's own bars are escaped and its line ends become spaces."""
    return "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |"


def _label(text: str | None) -> str | None:
    return one_line(text)[:_MAX_TITLE_CHARS] or None if text else None


def _language_code(tag: str) -> str:
    code = tag.strip().lower().replace("_", "-").partition("-")[0]
    return code if re.fullmatch("[a-z]{2}", code) else ""
