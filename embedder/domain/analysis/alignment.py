"""Texts as the analysis reads them, and where each character of that came from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator


def normalise(text: str) -> str:
    """``text`` in Unicode's compatibility form and in small letters."""
    return unicodedata.normalize("NFKC", text).lower()


class AlignedText:
    """A normalised text that remembers its origin.

    Attributes:
        text: what `normalise` makes of the original, as far as characters normalise apart from their neighbours; accents and the parts of
            Hangul syllables, which don't, are taken with what they belong to.
    """

    def __init__(self, original: str) -> None:
        self._origins: list[tuple[int, int]] | None = None
        if original.isascii():
            self.text = original.lower()
            return
        self._origins = []
        pieces: list[str] = []
        for start, end in _clusters(original):
            pieces.append(unicodedata.normalize("NFKC", original[start:end]))
            self._origins += [(start, end)] * len(pieces[-1].lower())
        # The whole at once: a sigma at the end of a word has a small letter of its own, of the same length.
        self.text = "".join(pieces).lower()

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original the characters from ``start`` up to ``end`` of `text` stand; there is at least one."""
        if self._origins is None:
            return start, end
        return self._origins[start][0], self._origins[end - 1][1]


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Characters, each with what combines with it."""
    start = 0
    for position in range(1, len(text) + 1):
        if position == len(text) or not _combines(text[position]):
            yield start, position
            start = position


def _combines(character: str) -> bool:
    return unicodedata.combining(character) != 0 or "\u1160" <= character <= "\u11ff"
