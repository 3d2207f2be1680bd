"""Checks the citation markers of a text while it is being written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from generator.domain.engine import Citation, SourcePassage, TextDelta
from generator.domain.quotes import supporting_quote

_OPENING = "[【［"
_CLOSING = "]】］"
_INSIDE = "0123456789,; \u00a0"
# Models write 【3†source】; what stands behind the dagger is theirs, not ours.
_DAGGER = "†"
_SEPARATED_BEFORE = ".,)"
# How much of the text before a marker is looked at for the statement that it supports.
_STATEMENT_CHARACTERS = 1000
_HAS_NUMBER = re.compile(rf"[^{_DAGGER}]*\d", re.ASCII)
_MAX_DIGITS = 9
_MARKER = re.compile(rf"[{re.escape(_OPENING)}]\s*\d[\d,; \u00a0]*[{re.escape(_CLOSING)}]")


def without_markers(text: str) -> str:
    """``text`` of a document with what would look like a citation marker in an answer put into round brackets."""
    return _MARKER.sub(lambda match: f"({match.group()[1:-1].strip()})", text)


class CitationChecker:
    """Takes a text in pieces cut anywhere and gives it back with its markers checked.

    Markers of passages that were given are written ``[n]``, one bracket for each; others are removed and counted. The first marker of a
    passage is followed by its `Citation`. What comes out depends on the whole text alone, never on how it was cut.
    """

    def __init__(self, passages: Mapping[int, SourcePassage], language: str) -> None:
        """Check against ``passages``, by the number under which the writer of the text knows them."""
        self.dropped_markers = 0
        self.cited: set[int] = set()
        self._passages = passages
        self._language = language
        self._open: list[str] = []
        self._spaces = ""
        self._after_removal = False
        self._written = ""
        self._out: list[str] = []
        self._citations: list[Citation] = []

    @property
    def text(self) -> str:
        """The end of what was written so far."""
        return self._written

    def feed(self, delta: str) -> Iterator[TextDelta | Citation]:
        """What can be said of the text with ``delta`` added; a beginning of a marker is held back until it ends."""
        for character in delta:
            self._take(character)
            if self._citations:
                yield from self._said()
        yield from self._said()

    def finish(self) -> Iterator[TextDelta | Citation]:
        """What was held back. Nothing may be fed after."""
        self._give_up_open()
        self._spaces = ""
        yield from self._said()

    def _said(self) -> Iterator[TextDelta | Citation]:
        if self._out:
            yield TextDelta("".join(self._out))
            self._out.clear()
        yield from self._citations
        self._citations.clear()

    def _take(self, character: str) -> None:
        if character in _OPENING:
            self._open.append(character)
        elif not self._open:
            self._write(character)
        elif character in _CLOSING and _HAS_NUMBER.match(self._open[-1]):
            self._close()
        elif self._continues_marker(character):
            self._open[-1] += character
        else:
            self._give_up_open()
            self._write(character)

    def _continues_marker(self, character: str) -> bool:
        in_note = character == _DAGGER or _DAGGER in self._open[-1]
        return character in _INSIDE or (in_note and character not in f"{_CLOSING}\n")

    def _close(self) -> None:
        """A marker is complete. One that is kept ends the brackets around it: they can't be markers any more."""
        digits = re.findall(r"[0-9]+", self._open.pop().split(_DAGGER)[0])
        numbers = [int(number) if len(number) <= _MAX_DIGITS else -1 for number in digits]
        kept = list(dict.fromkeys(number for number in numbers if number in self._passages))
        self.dropped_markers += sum(number not in self._passages for number in numbers)
        if not kept:
            self._after_removal = not self._open
            return
        self._give_up_open()
        statement = self._written[-_STATEMENT_CHARACTERS:]
        for number in kept:
            self._write_word(f"[{number}]", keep_space=True)
            if number not in self.cited:
                self.cited.add(number)
                self._citations.append(supporting_quote(number, self._passages[number], statement, self._language))

    def _give_up_open(self) -> None:
        """What looked like the beginning of a marker is text."""
        pending, self._open = self._open, []
        for character in "".join(pending):
            self._write(character)

    def _write(self, character: str) -> None:
        if character.isspace():
            if not (self._after_removal and self._spaces):
                self._spaces += character
            return
        self._write_word(character, keep_space=not (self._after_removal and character in _SEPARATED_BEFORE))

    def _write_word(self, word: str, *, keep_space: bool) -> None:
        written = (self._spaces if keep_space else "") + word
        self._out.append(written)
        self._written = (self._written + written)[-2 * _STATEMENT_CHARACTERS :]
        self._spaces = ""
        self._after_removal = False
