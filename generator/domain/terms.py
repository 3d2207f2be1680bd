"""Words of a text, and the stems by which texts are compared."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache, lru_cache

import snowballstemmer

# An identifier (HW-300, IR-2025-014, E-14) is one word, and so is a number with its separators (4.2, 1,140, 10:30). Everything else is a
# run of letters and digits, so that an elided article ("l'accord") is a word of its own. A currency sign says that an amount follows.
_WORD = re.compile(r"[^\W\d_]+(?:-\d+\w*)+|\d+(?:[.,:]\d+)+|\be-[^\W\d_]+|[^\W_]+|[£€$]")
_STEMMERS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french", "it": "italian", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish",
}  # fmt: skip
# Who asks what something costs is answered by a price, a fee or an amount with its currency.
PRICE = "price"
_PRICE_WORDS = """
    price prices priced cost costs fee fees gbp eur usd euro euros pound pounds £ € $ prix coût coûts coûte coûtent coûter tarif tarifs
    preis preise kosten kostet precio precios cuesta cuestan prezzo costa prijs kost preço
"""
_PRICES = frozenset(_PRICE_WORDS.split())
# Snowball's stemmers keep the word they work on in themselves.
_stemming = threading.Lock()


def words(text: str) -> list[str]:
    """The words of ``text`` in order, in lower case."""
    return _WORD.findall(text.lower())


def is_identifier(word: str) -> bool:
    """Whether ``word`` names one thing and no other, as part numbers and error codes do."""
    return any(character.isdigit() for character in word) and any(character.isalpha() for character in word)


def fold(text: str) -> str:
    """``text`` in lower case and without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(maxsize=65536)
def stem(word: str, language: str) -> str:
    """What stands for ``word`` (in lower case) in comparisons: its Snowball stem without accents; the word where there is no stemmer."""
    if word in _PRICES:
        return PRICE
    if language in _STEMMERS and word.isalpha():
        with _stemming:
            word = _stemmer(language).stemWord(word)
    return fold(word)


@cache
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(_STEMMERS[language])
