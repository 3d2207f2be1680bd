"""Passages and queries to terms.

The store's BM25 counts terms that are separated by spaces; everything that makes a word a term happens here, so that it is the same for
every store and every language: Unicode compatibility forms, case, elisions, stop words, Snowball stems, accents, identifiers, scripts
without spaces.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable

import snowballstemmer
from py3langid import langid

from embedder.domain.analysis.languages import LANGUAGES, Language
from embedder.domain.analysis.query import Query, Word

# A word with what joins its parts: hyphens, dots, slashes, apostrophes, at-signs.
_TOKEN = re.compile(r"\w+(?:[-.,:/@+#'’\\&]\w+)*")
_PART = re.compile(r"[^\W_]+")
# Scripts that put no space between words; these are cut into overlapping pairs of characters.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
_ELISION = re.compile(r"['’]")
# Joins an identifier's parts into one term. A modifier letter, hence a word character to every store's tokenizer and to no keyboard.
_JOINER = "ː"
# What Unicode does not take apart into a letter and an accent.
_FOLDED_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
# Beyond this a "word" is a hash, a base64 line or an attack.
_LONGEST_TERM = 64
# Terms of one language that are remembered; a corpus's vocabulary, with room. Longer tokens do not come again.
_REMEMBERED_TOKENS = 200_000
_LONGEST_REMEMBERED = 128
# A query's words beyond these cost a store time and change no ranking.
_MOST_QUERY_WORDS = 256
# The beginning tells the language; more text costs time and changes nothing.
_DETECTION_CHARACTERS = 400
# A language that may be the query's, on the identifier's scale for short texts.
_PLAUSIBLE = 0.15


class Analyzer:
    """Turns text into terms. Safe to use from several threads."""

    def __init__(self) -> None:
        self._detector = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        self._detector.set_languages(list(LANGUAGES))
        self._vocabularies = {code: _Vocabulary(language) for code, language in LANGUAGES.items()}

    def passage_terms(self, text: str) -> str:
        """A passage's terms, in its order, in the language that it is written in."""
        text = _normalise(text)
        return " ".join(filter(None, map(self._vocabularies[self.detect(text)].__getitem__, _TOKEN.findall(text))))

    def query(self, text: str) -> Query:
        """A query's words, each with its terms in every language.

        A few words do not show their language, and the passages that answer them may be in another one. A passage carries one language's
        stem of each of its words, so of a query word's stems it meets the right one; the others meet nothing. Stop words of the languages
        that the query may be in are left out.
        """
        text = _normalise(text)
        ranked = self._detector.rank(text)
        plausible = [self._vocabularies[code] for place, (code, share) in enumerate(ranked) if place == 0 or share >= _PLAUSIBLE]
        words: list[Word] = []
        length = 0
        for token in _TOKEN.findall(text):
            parts = _PART.findall(token)
            if _is_identifier(token, parts):
                words.append((_whole(parts),))
            for part in parts:
                pairs, spaced = _pieces(part)
                length += len(pairs) + len(spaced)
                words += [(pair,) for pair in pairs]
                words += [self._stems(word) for word in spaced if all(vocabulary[word] for vocabulary in plausible)]
        return Query(tuple(words[:_MOST_QUERY_WORDS]), length)

    def _stems(self, word: str) -> Word:
        return tuple(dict.fromkeys(term for vocabulary in self._vocabularies.values() if (term := vocabulary[word])))

    def detect(self, text: str) -> str:
        """The ISO 639-1 code of the supported language that ``text`` looks most like."""
        language, _ = self._detector.classify(text[:_DETECTION_CHARACTERS])
        return str(language)


class _Vocabulary(dict[str, str]):
    """Terms by token, for one language; computed once each."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self._stop_words = language.stop_words
        self._stem: Callable[[str], str] = snowballstemmer.stemmer(language.stemmer).stemWord
        # Snowball's stemmers keep the word that they work on in themselves.
        self._lock = threading.Lock()

    def __missing__(self, token: str) -> str:
        with self._lock:
            terms = " ".join(self._terms(token))
        if len(self) >= _REMEMBERED_TOKENS:
            self.clear()
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = terms
        return terms

    def _terms(self, token: str) -> list[str]:
        parts = _PART.findall(token)
        terms = [_whole(parts)] if _is_identifier(token, parts) else []
        for part in parts:
            pairs, words = _pieces(part)
            terms += pairs
            terms += [_fold(self._stem(word) if word.isalpha() else word)[:_LONGEST_TERM] for word in words if word not in self._stop_words]
        return terms


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _is_identifier(token: str, parts: list[str]) -> bool:
    """Whether a token with several parts also means something as a whole: ERR-4012, v2.3.1, ada@example.org, max_length."""
    return len(parts) > 1 and not _ELISION.search(token) and ("@" in token or "_" in token or any(letter.isdigit() for letter in token))


def _whole(parts: list[str]) -> str:
    return _fold(_JOINER.join(parts))[:_LONGEST_TERM]


def _pieces(part: str) -> tuple[list[str], list[str]]:
    """A part's overlapping pairs of characters of scripts without spaces, and its words, which are cut where no word is so long."""
    pairs = [pair for run in _UNSPACED.findall(part) for pair in _pairs(run)]
    return pairs, [word[:_LONGEST_TERM] for word in _UNSPACED.split(part) if word]


def _pairs(characters: str) -> list[str]:
    if len(characters) == 1:
        return [characters]
    return [characters[start : start + 2] for start in range(len(characters) - 1)]


def _fold(term: str) -> str:
    """Without accents, so that who types none finds what has them."""
    if term.isascii():
        return term
    decomposed = unicodedata.normalize("NFD", term.translate(_FOLDED_LETTERS))
    return unicodedata.normalize("NFC", "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn"))
