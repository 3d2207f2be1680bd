"""Cuts a passage into the pieces that can be quoted: sentences, list items and table rows, each with its place in the text."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_ITEM_CHARACTERS = 300
MAX_HEADING_CHARACTERS = 80
# "Article 12." is a number with what it counts, "It was founded in 1978." a sentence.
_MAX_NUMBER_PREFIX = 10
_LONGEST_WORD = 40
_MAX_HEADER_CHARACTERS = 500
_MIN_DELIMITERS = 2
_MIN_TABLE_LINES = 2
_END = re.compile(r"[.!?…:;,|\t]")

_HEADING = re.compile(
    r"\s*(?:#{1,6}\s+\S|(?:\d+(?:\.\d+)+\.?|(?:article|titre|section|chapter|chapitre)\s+\w+[.:]?)\s+[^\W\d_][^.!?;:|]{0,70}$)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\s*\d{1,3}[.)]\s+")
_ITEM = re.compile(r"\s*(?:[-*•‣◦–]|\d{1,3}[.)]|[a-z]\))\s+\S")
_FIELD = re.compile(r"[^:|]{1,80}: ")
_PIPE_ROW = re.compile(r"\s*\|.*\|\s*$")
_PIPE_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*$")
# Texts are anybody's: none of these may take more than linear time, so no two repetitions can match the same characters.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]+(?:\s?»|[\"'”’)\]])*(?=\s)")
_OPENING = re.compile(r"\s+(?:[\"'“‘«(\[—–-]+\s*)?[^\W_a-zà-öø-ÿ]")
_ABBREVIATION_LIST = """
    adj al approx apr art aug av bd bldg boul c.-à-d ca cf ch chap co corp dec dept dr ed eg e.g env est etc ex feb fig hon
    i.e ie inc jan jr jul jun lt ltd m max mar mgr min mlle mm mme mr mrs ms nos nov n° oct op p par pp pr prof réf
    rev sec sect sep sept sr st ste tél tel tome vol vs
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())


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
    blocks = list(_blocks(text))
    for position, block in enumerate(blocks):
        is_title = _is_title(text, blocks, position)
        for unit in _units_of(text, block, heading, is_title=is_title):
            found.append(unit)
            if unit.kind is UnitKind.HEADING:
                heading = text[unit.start : unit.end].lstrip("# ")
    return found


def _is_title(text: str, blocks: list[list[_Line]], position: int) -> bool:
    """Whether a block is one short line without an end: a title that lost its mark-up. One of several numbered lines is an item."""
    block = blocks[position]
    start, end = _trimmed(text, block[0].start, block[-1].end)
    line = text[start:end]
    if len(line) > MAX_HEADING_CHARACTERS or "\n" in line:
        return False
    number = _NUMBERED.match(line)
    if number:
        beside = [blocks[other][0].text for other in (position - 1, position + 1) if 0 <= other < len(blocks)]
        return not any(map(_NUMBERED.match, beside)) and not _END.search(line[number.end() :])
    return not _END.search(line) and not _ITEM.match(line)


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


def _units_of(text: str, block: list[_Line], heading: str, *, is_title: bool) -> Iterator[Unit]:
    start, end = _trimmed(text, block[0].start, block[-1].end)
    if is_title or _HEADING.match(block[0].text):
        yield Unit(start, end, UnitKind.HEADING)
    elif _PIPE_ROW.match(block[0].text) or _delimiter(block):
        yield from _rows(text, block, heading)
    elif _is_record(text[start:end]):
        names = " | ".join(name for name, _ in _record(text[start:end]))
        yield Unit(start, end, UnitKind.ROW, heading, f"| {names} |" if len(names) <= _MAX_HEADER_CHARACTERS else "")
    elif _ITEM.match(block[0].text) and end - start <= MAX_ITEM_CHARACTERS:
        yield Unit(start, end, UnitKind.ITEM, heading)
    else:
        for first, last in sentence_spans(text, start, end):
            yield Unit(first, last, UnitKind.SENTENCE, heading)


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
    header = block[0].text.strip() if len(block[0].text) <= _MAX_HEADER_CHARACTERS else ""
    for number, line in enumerate(block):
        start, end = _trimmed(text, line.start, line.end)
        if not _PIPE_RULE.match(line.text):
            yield Unit(start, end, UnitKind.ROW if number else UnitKind.HEADING, heading, header if number else "")


def sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of ``text[start:end]``, without the space between them, as pairs of offsets into ``text``."""
    first = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if _OPENING.match(text, match.end(), end) and not _is_abbreviation(text[max(first, match.end() - _LONGEST_WORD) : match.end()]):
            yield _trimmed(text, first, match.end())
            first = match.end()
    first, end = _trimmed(text, first, end)
    if first < end:
        yield first, end


def _is_abbreviation(sentence: str) -> bool:
    """Whether the full stop at the end belongs to the word before it: an abbreviation, an initial, or the number of a heading or item."""
    if not sentence.endswith("."):
        return False
    before, _, _ = sentence.strip()[:-1].rpartition(" ")
    word = sentence.strip()[len(before) : -1].strip(" (").lower()
    is_number = word.replace(".", "").isdigit() and len(before) <= _MAX_NUMBER_PREFIX
    return is_number or word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())


def cells(row: str) -> list[str]:
    """The cells of a table row, without the space around them; of a record its values."""
    line = row.strip()
    if _is_record(line):
        return [value for _, value in _record(line)]
    if line.startswith("|"):
        return [cell.strip() for cell in line.strip("|").split("|")]
    delimiter = max("\t;,", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [""])]


def _is_record(line: str) -> bool:
    """Whether a line is a table row that carries the names of its columns: ``- date: 2026-05-01 | site: Grenoble``."""
    fields = line.removeprefix("- ").split(" | ")
    return line.startswith("- ") and "\n" not in line and len(fields) >= _MIN_DELIMITERS and all(_FIELD.match(field) for field in fields)


def _record(line: str) -> list[tuple[str, str]]:
    fields = (field.partition(": ") for field in line.removeprefix("- ").split(" | "))
    return [(name.strip(), value.strip()) for name, _, value in fields]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
