"""A query, analysed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# The terms that one word of a query may stand as in a passage: its stem in each language.
Word: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a query asks for.

    Attributes:
        words: those that tell passages apart; stop words are left out, an identifier stands as a whole and in parts.
        length: all words, where each pair of characters of a script without spaces is one.
    """

    words: tuple[Word, ...]
    length: int

    @property
    def terms(self) -> str:
        """What to ask a store for; empty when there are only stop words."""
        return " ".join(term for word in self.words for term in word)
