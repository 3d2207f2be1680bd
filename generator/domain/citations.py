"""Checks the citation markers of a text while it is being written."""

from __future__ import annotations

import re
from collections import deque
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
# A marker between two of these stands within a word. Scripts that write no space between words have no such place.
_IN_WORD = re.compile(
    r"[^\W_\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    r"\U00020000-\U0003ffff]"
)
# What a removed marker must not complete: "&#58[9];" would be a colon.
_OPEN_REFERENCE = re.compile(r"&#?[0-9A-Za-z]*\Z")
_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
# A longer run of code on one line is no code.
_MAX_CODE_SPAN = 300
_FENCE = re.compile(r" {0,3}(`{3,})[^`]*")
_MARKER = re.compile(rf"[{re.escape(_OPENING)}]\s*\d[\d,; \u00a0]*[{re.escape(_CLOSING)}]")
_CITED = re.compile(rf"[ \u00a0]*{_MARKER.pattern}")


def without_citations(text: str) -> str:
    """``text`` of an earlier answer without its citation markers and the space before them."""
    return _CITED.sub("", text)


def without_markers(text: str) -> str:
    """``text`` of a document with what would look like a citation marker in an answer put into round brackets."""
    return _MARKER.sub(lambda match: f"({match.group()[1:-1].strip()})", text)


class CitationChecker:
    """Takes a text in pieces cut anywhere and gives it back with its markers checked.

    Markers of passages that were given are written ``[n]``, one bracket for each; others, and those within a word, are removed and
    counted. What stands in code is no marker. The first marker of a passage is followed by its `Citation`. What comes out depends on the
    whole text alone, never on how it was cut.
    """

    def __init__(self, passages: Mapping[int, SourcePassage], language: str) -> None:
        """Check against ``passages``, by the number under which the writer of the text knows them."""
        self.dropped_markers = 0
        self.cited: set[int] = set()
        self._passages = passages
        self._language = language
        self._queue: deque[str] = deque()
        self._open: list[str] = []
        self._held: list[int] = []
        self._code = ""
        self._fence = ""
        self._spaces = ""
        self._after_removal = False
        self._written = ""
        self._out: list[str] = []
        self._citations: list[Citation] = []

    def feed(self, delta: str) -> Iterator[TextDelta | Citation]:
        """What can be said of the text with ``delta`` added; a beginning of a marker is held back until it ends."""
        self._queue.extend(delta)
        yield from self._take_queue()

    def finish(self) -> Iterator[TextDelta | Citation]:
        """What was held back. Nothing may be fed after."""
        while self._code:
            self._end_code("")
            yield from self._take_queue()
        self._give_up_open()
        self._cite("")
        self._spaces = ""
        yield from self._said()

    def _take_queue(self) -> Iterator[TextDelta | Citation]:
        while self._queue:
            self._take(self._queue.popleft())
            if self._citations:
                yield from self._said()
        yield from self._said()

    def _said(self) -> Iterator[TextDelta | Citation]:
        if self._out:
            yield TextDelta("".join(self._out))
            self._out.clear()
        yield from self._citations
        self._citations.clear()

    def _take(self, character: str) -> None:
        if self._fence:
            self._take_in_fence(character)
        elif self._code:
            self._take_in_code(character)
        elif character in _OPENING:
            self._open.append(character)
        elif self._open and character in _CLOSING and _HAS_NUMBER.match(self._open[-1]):
            self._close()
        elif self._open and self._continues_marker(character):
            self._open[-1] += character
        else:
            self._give_up_open()
            self._take_in_text(character)

    def _take_in_text(self, character: str) -> None:
        if character == "`":
            self._cite(character)
            self._code = character
        else:
            self._write(character)

    def _take_in_code(self, character: str) -> None:
        """Behind a backtick: whether code begins there shows when it ends, or when the line does."""
        if character == "`" or (character != "\n" and self._code[-1] != "`" and len(self._code) < _MAX_CODE_SPAN):
            self._code += character
        elif self._code[-1] == "`" and _CODE_SPAN.fullmatch(self._code):
            self._write_code()
            self._queue.appendleft(character)
        elif character != "\n" and len(self._code) < _MAX_CODE_SPAN:
            self._code += character
        else:
            self._end_code(character)

    def _end_code(self, following: str) -> None:
        """The line or the text is over: its backticks opened a block, closed a span just now, or were text like any other."""
        fence = _FENCE.fullmatch(self._line() + self._code)
        if _CODE_SPAN.fullmatch(self._code):
            self._write_code()
        elif fence and following == "\n":
            self._fence = fence[1]
            self._write_code()
        else:
            code, self._code = self._code, ""
            text = code.lstrip("`")
            for backtick in code[: len(code) - len(text)]:
                self._write(backtick)
            self._queue.extendleft(reversed(text + following))
            return
        self._queue.extendleft(following)

    def _write_code(self) -> None:
        code, self._code = self._code, ""
        for character in code:
            self._write(character)

    def _take_in_fence(self, character: str) -> None:
        if character == "\n":
            closing = _FENCE.fullmatch(self._line().rstrip())
            if closing and closing[0].strip(" `") == "" and len(closing[1]) >= len(self._fence):
                self._fence = ""
        self._write(character)

    def _line(self) -> str:
        """What was written of the line."""
        return (self._written + self._spaces).rpartition("\n")[2]

    def _continues_marker(self, character: str) -> bool:
        in_note = character == _DAGGER or _DAGGER in self._open[-1]
        return character in _INSIDE or (in_note and character not in f"{_CLOSING}\n")

    def _close(self) -> None:
        """A marker is complete. One that is kept ends the brackets around it: they can't be markers any more."""
        digits = re.findall(r"[0-9]+", self._open.pop().split(_DAGGER)[0])
        numbers = [int(number) if len(number) <= _MAX_DIGITS else -1 for number in digits]
        kept = list(dict.fromkeys(number for number in numbers if number in self._passages))
        self.dropped_markers += sum(number not in self._passages for number in numbers)
        if kept:
            self._give_up_open()
            self._held += kept
        elif not self._open:
            self._remove()

    def _remove(self) -> None:
        self._after_removal = True
        if not self._spaces and not self._held and _OPEN_REFERENCE.search(self._written):
            self._spaces = " "

    def _cite(self, following: str) -> None:
        """Write the markers that are held, unless they stand between two letters of a word."""
        numbers, self._held = self._held, []
        if not numbers:
            return
        if not self._spaces and _IN_WORD.match(self._written[-1:]) and _IN_WORD.match(following):
            self.dropped_markers += len(numbers)
            self._remove()
            return
        statement = self._written[-_STATEMENT_CHARACTERS:]
        for number in numbers:
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
        self._cite(character)
        if not character.isspace():
            self._write_word(character, keep_space=not (self._after_removal and character in _SEPARATED_BEFORE))
        elif not (self._after_removal and self._spaces):
            self._spaces += character
        elif character == "\n":
            self._spaces, self._after_removal = character, False

    def _write_word(self, word: str, *, keep_space: bool) -> None:
        written = (self._spaces if keep_space else "") + word
        self._out.append(written)
        self._written = (self._written + written)[-2 * _STATEMENT_CHARACTERS :]
        self._spaces = ""
        self._after_removal = False
