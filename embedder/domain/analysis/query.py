"""A query, analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# The terms that one word of a query may stand as in a passage: its stem in each language.
Word: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a query asks for.

    Attributes:
        words: those that tell passages apart; stop words are left out, an identifier stands as a whole and in parts.
        length: all words, where each pair of characters of a script without spaces is one.
        spellings: how the query spells its words, in small letters; one that it spells in several ways, by the first.
    """

    words: tuple[Word, ...]
    length: int
    spellings: Mapping[Word, str] = field(default_factory=dict)

    @property
    def terms(self) -> str:
        """What to ask a store for; empty when there are only stop words."""
        return " ".join(term for word in self.words for term in word)
