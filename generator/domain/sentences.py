"""Cuts a passage into the pieces that can be quoted: sentences, list items and table rows, each with its place in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_ITEM_CHARACTERS = 300
MAX_HEADING_CHARACTERS = 80
_MIN_DELIMITERS = 2
_MIN_TABLE_LINES = 2

_HEADING = re.compile(r"\s*#{1,6}\s+\S")
_ITEM = re.compile(r"\s*(?:[-*•‣◦–]|\d{1,3}[.)]|[a-z]\))\s+\S")
_PIPE_ROW = re.compile(r"\s*\|.*\|\s*$")
_PIPE_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*$")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)")
_OPENING = re.compile(r"\s+[\"'“‘«(\[—–-]*\s*[^\W_a-zà-öø-ÿ]")
_ABBREVIATION_LIST = """
    adj al approx apr art aug av bd bldg boul c.-à-d ca cf ch chap co corp dec dept dr ed eg e.g env est etc ex feb fig hon
    i.e ie inc jan jr jul jun lt ltd m max me mar mgr min mlle mm mme mr mrs ms no nos nov n° oct op p par pp pr prof réf
    rev sec sect sep sept sr st ste tél tel tome vol vs
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_LAST_TOKEN = re.compile(r"[\w.°'-]*$")


class UnitKind(StrEnum):
    """What a piece of a passage is."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    HEADING = "heading"


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a text that makes sense when quoted alone.

    Attributes:
        start: offset of its first character in the text.
        end: offset after its last one.
        heading: the heading above it in the same text, if there is one.
        header: for a table row, the table's first row.
    """

    start: int
    end: int
    kind: UnitKind
    heading: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def units(text: str) -> list[Unit]:
    """The pieces of ``text`` in order; together they hold every word of it."""
    found: list[Unit] = []
    heading = ""
    for block in _blocks(text):
        for unit in _units_of(text, block, heading):
            found.append(unit)
            if unit.kind is UnitKind.HEADING:
                heading = text[unit.start : unit.end].lstrip("# ")
    return found


def _blocks(text: str) -> Iterator[list[_Line]]:
    """Runs of lines that belong together: a heading, a list item, a table, or a paragraph."""
    block: list[_Line] = []
    for line in _lines(text):
        opens = _HEADING.match(line.text) or _ITEM.match(line.text) or not line.text.strip()
        changes = bool(block) and bool(_PIPE_ROW.match(line.text)) != bool(_PIPE_ROW.match(block[-1].text))
        if block and (opens or changes or _HEADING.match(block[-1].text)):
            yield block
            block = []
        if line.text.strip():
            block.append(line)
    if block:
        yield block


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield _Line(start, start + len(line), line)
        start += len(line)


def _units_of(text: str, block: list[_Line], heading: str) -> Iterator[Unit]:
    start, end = _trimmed(text, block[0].start, block[-1].end)
    if _HEADING.match(block[0].text) or _looks_like_a_heading(text[start:end]):
        yield Unit(start, end, UnitKind.HEADING)
    elif _PIPE_ROW.match(block[0].text) or _delimiter(block):
        yield from _rows(text, block, heading)
    elif _ITEM.match(block[0].text) and end - start <= MAX_ITEM_CHARACTERS:
        yield Unit(start, end, UnitKind.ITEM, heading)
    else:
        for first, last in sentence_spans(text, start, end):
            yield Unit(first, last, UnitKind.SENTENCE, heading)


def _looks_like_a_heading(block: str) -> bool:
    """Whether a paragraph of one short line without an end is a title that lost its mark-up."""
    return len(block) <= MAX_HEADING_CHARACTERS and "\n" not in block and not re.search(r"[.!?…:;,|\t]", block) and not _ITEM.match(block)


def _delimiter(block: list[_Line]) -> str | None:
    """The character that makes columns of these lines, when one does."""
    if len(block) < _MIN_TABLE_LINES:
        return None
    for delimiter, pattern in (("\t", r"\t"), (";", r";(?! )"), (",", r",(?! )")):
        counts = {len(re.findall(pattern, re.sub(r'"[^"]*"', "", line.text))) for line in block}
        if len(counts) == 1 and counts.pop() >= _MIN_DELIMITERS:
            return delimiter
    return None


def _rows(text: str, block: list[_Line], heading: str) -> Iterator[Unit]:
    header = block[0].text.strip()
    for number, line in enumerate(block):
        start, end = _trimmed(text, line.start, line.end)
        if not _PIPE_RULE.match(line.text):
            yield Unit(start, end, UnitKind.ROW if number else UnitKind.HEADING, heading, header if number else "")


def sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of ``text[start:end]``, without the space between them, as pairs of offsets into ``text``."""
    first = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if _OPENING.match(text, match.end(), end) and not _is_abbreviation(text[first : match.end()]):
            yield _trimmed(text, first, match.end())
            first = match.end()
    first, end = _trimmed(text, first, end)
    if first < end:
        yield first, end


def _is_abbreviation(sentence: str) -> bool:
    if not sentence.endswith("."):
        return False
    token = _LAST_TOKEN.search(sentence[:-1])
    word = token.group().lower() if token else ""
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
