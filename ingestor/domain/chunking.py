"""Cuts a document into chunks: the passages that are embedded, found and cited.

The text is tokenised once, by the embedder; here only the offsets at which its tokens start are needed, so a cut costs a few binary
searches and the whole is linear in the length of the text. Pages and heading sections are never straddled, except that very small
sections of one parent share a chunk. Inside a section a chunk ends at the strongest boundary in the second half of its target:
paragraph, then row of a list or table, then sentence, then line, then word, then token.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from ingestor.domain.parsing import Heading, ParsedDocument
from ingestor.domain.sentences import sentence_starts
from ingestor.domain.tables import tables

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_ROW = re.compile(r"\n(?=[^\S\n]*(?:[-*+•]|\d{1,3}[.)]|\|)[^\S\n])")
_LINE = re.compile(r"\n")
_VISIBLE = re.compile(r"\S")
# A section below this share of the target takes in the next one under the same parent.
_TINY_SHARE = 4
# A rest that makes two chunks is cut near its middle, not into a full one and a scrap.
_FIRST_OF_TWO = 0.6


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """How large chunks are.

    Attributes:
        target_tokens: what a chunk is filled up to; a section's rest between target and maximum is not cut again.
        max_tokens: what no chunk exceeds, in the embedding model's tokens without its special ones.
        max_chars: bound in characters, for runs that a tokenizer maps to few tokens, or to a single unknown one.
    """

    target_tokens: int
    max_tokens: int
    max_chars: int = 8_000

    def __post_init__(self) -> None:
        if not 1 <= self.target_tokens <= self.max_tokens:
            raise ValueError("target_tokens must lie between 1 and max_tokens")
        if self.max_chars < 1:
            raise ValueError("max_chars must be positive")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage: ``text == document.text[start:end]``, without whitespace at its ends.

    Attributes:
        ordinal: position among the document's chunks, from 0.
        first_page: the page it stands on; None where the format has no pages.
        headings: the texts of the headings above it, outermost first.
        anchor: the innermost heading's anchor; empty where it has none.
        table_header: the line that names the columns of the table in whose middle it starts; empty elsewhere.
    """

    ordinal: int
    text: str
    start: int
    end: int
    first_page: int | None
    headings: tuple[str, ...]
    anchor: str
    table_header: str = ""


@dataclass(frozen=True, slots=True)
class _Section:
    """A stretch of one page under one heading. ``path``: the headings above it; ``bare``: it holds nothing but heading lines."""

    start: int
    end: int
    path: tuple[Heading, ...]
    page: int | None
    bare: bool


def cut(document: ParsedDocument, token_starts: Sequence[int], limits: ChunkLimits) -> list[Chunk]:
    """Cut a document into chunks that together hold every visible character exactly once, in order.

    Args:
        document: what a parser returned.
        token_starts: offsets in ``document.text`` at which the embedding model's tokens start, ascending; several tokens may share one.
        limits: sizes; no chunk has more than ``max_tokens`` token starts inside it.

    Returns:
        The chunks; their ordinals count from 0 without gaps.
    """
    cutter = _Cutter(document.text, token_starts, limits)
    chunks: list[Chunk] = []
    for section in cutter.with_tiny_ones_merged(_sections(document)):
        headings = tuple(heading.text for heading in section.path)
        anchor = section.path[-1].anchor if section.path else ""
        for start, end in cutter.spans(section):
            header = cutter.table_header(start)
            chunks.append(Chunk(len(chunks), document.text[start:end], start, end, section.page, headings, anchor, header))
    return chunks


def _sections(document: ParsedDocument) -> Iterator[_Section]:
    """Yield the non-blank stretches between one heading or page start and the next."""
    text = document.text
    headings: dict[int, list[Heading]] = {}
    for heading in document.headings:
        headings.setdefault(heading.start, []).append(heading)
    pages = {page.start: page.number for page in document.pages if page.start < page.end}
    edges = sorted({0, *headings, *pages})
    path: list[Heading] = []
    page: int | None = None
    for start, end in zip(edges, [*edges[1:], len(text)], strict=True):
        page = pages.get(start, page)
        body = start
        for heading in headings.get(start, ()):
            while path and path[-1].level >= heading.level:
                path.pop()
            path.append(heading)
            line_end = text.find("\n", start, end)
            body = end if line_end < 0 else line_end
        if _VISIBLE.search(text, start, end):
            yield _Section(start, end, tuple(path), page, bare=not _VISIBLE.search(text, body, end))


class _Cutter:
    """Holds the sorted offsets of everything a text may be cut at."""

    def __init__(self, text: str, token_starts: Sequence[int], limits: ChunkLimits) -> None:
        self._text = text
        self._tokens = token_starts
        self._limits = limits
        self._tables = list(tables(text))
        self._table_starts = [table.start for table in self._tables]
        self._boundaries = (
            [match.end() for match in _PARAGRAPH.finditer(text)],
            [match.end() for match in _ROW.finditer(text)],
            sentence_starts(text),
            [match.end() for match in _LINE.finditer(text)],
        )

    def table_header(self, offset: int) -> str:
        """Return the header of the table in whose rows ``offset`` lies; empty where it is in none."""
        index = bisect_right(self._table_starts, offset) - 1
        return self._tables[index].header if index >= 0 and offset < self._tables[index].end else ""

    def with_tiny_ones_merged(self, sections: Iterator[_Section]) -> Iterator[_Section]:
        """Join each section that is far below the target with those that follow it under the same parent."""
        group = next(sections, None)
        if group is None:
            return
        for section in sections:
            joined = self._joined(group, section)
            if joined is None:
                yield group
            group = joined or section
        yield group

    def _joined(self, group: _Section, section: _Section) -> _Section | None:
        tokens = self._token_count(group.start, group.end)
        if group.page != section.page or tokens * _TINY_SHARE >= self._limits.target_tokens:
            return None
        if self._token_count(group.start, section.end) > self._limits.target_tokens:
            return None
        path = _common_path(group.path, section.path)
        if not path:
            return None
        if group.bare and path == group.path:  # a title right above its first subsection: the chunk is about the subsection
            path = section.path
        return _Section(group.start, section.end, path, group.page, group.bare and section.bare)

    def spans(self, section: _Section) -> Iterator[tuple[int, int]]:
        """Yield the chunks' start and end offsets, whitespace trimmed."""
        position = section.start
        while visible := _VISIBLE.search(self._text, position, section.end):
            start = visible.start()
            position = self._next_cut(start, section.end)
            yield start, start + len(self._text[start:position].rstrip())

    def _next_cut(self, start: int, section_end: int) -> int:
        first = bisect_left(self._tokens, start)
        farthest = self._offset_after(first, self._limits.max_tokens, start, section_end)
        if farthest == section_end:
            return section_end
        rest = self._token_count(start, section_end)
        goal = min(self._limits.target_tokens, ceil(rest * _FIRST_OF_TWO))
        target = min(farthest, self._offset_after(first, goal, start, section_end))
        half = start + (target - start) // 2
        for low, high in ((half, target), (target, farthest)):
            for offsets in self._boundaries:
                index = bisect_right(offsets, high) - 1
                if index >= 0 and offsets[index] > low:
                    return offsets[index]
        return self._text.rfind(" ", half, target) + 1 or target

    def _offset_after(self, first: int, tokens: int, start: int, section_end: int) -> int:
        """Return the farthest end of a chunk from ``start``, whose first token is ``first``, within ``tokens`` and ``max_chars``."""
        last = first + tokens
        by_tokens = self._tokens[last] if last < len(self._tokens) else section_end
        # At least one character, should one character alone have more tokens than that.
        return max(start + 1, min(by_tokens, start + self._limits.max_chars, section_end))

    def _token_count(self, start: int, end: int) -> int:
        return bisect_left(self._tokens, end) - bisect_left(self._tokens, start)


def _common_path(first: tuple[Heading, ...], second: tuple[Heading, ...]) -> tuple[Heading, ...]:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return first[:length]
