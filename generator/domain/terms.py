"""Words of a text, and the stems by which texts are compared."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache, lru_cache

import snowballstemmer

# A number with its separators is one word (4.2, 1,140, 10:30); everything else is a run of letters and digits, so that an elided
# article ("l'accord") and the parts of an identifier ("HW-300") are words of their own.
_WORD = re.compile(r"\d+(?:[.,:]\d+)+|[^\W_]+")
_STEMMERS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french", "it": "italian", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish",
}  # fmt: skip
# Snowball's stemmers keep the word they work on in themselves.
_stemming = threading.Lock()


def words(text: str) -> list[str]:
    """The words of ``text`` in order, lower-cased and without accents."""
    return _WORD.findall(fold(text))


def fold(text: str) -> str:
    """``text`` lower-cased and without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(maxsize=65536)
def stem(word: str, language: str) -> str:
    """The Snowball stem of a folded word; the word itself in a language without a stemmer, or if it has digits."""
    if language not in _STEMMERS or any(character.isdigit() for character in word):
        return word
    with _stemming:
        stemmed: str = _stemmer(language).stemWord(word)
    return stemmed


def stems(text: str, language: str) -> list[str]:
    """The stems of the words of ``text``, in order."""
    return [stem(word, language) for word in words(text)]


@cache
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(_STEMMERS[language])
