"""Passages and queries to terms.

The store's BM25 counts terms that are separated by spaces; everything that makes a word a term happens here, so that it is the same for
every store and every language: Unicode compatibility forms, case, elisions, stop words, Snowball stems, accents, identifiers, scripts
without spaces.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import snowballstemmer
from py3langid import langid

from embedder.domain.analysis.alignment import AlignedText, normalise
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


class TermSpan(NamedTuple):
    """A term, and where the characters stand that became it: from ``start``, up to and without ``end``."""

    term: str
    start: int
    end: int


class Analyzer:
    """Turns text into terms. Safe to use from several threads."""

    def __init__(self) -> None:
        self._detector = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        self._detector.set_languages(list(LANGUAGES))
        self._vocabularies = {code: _Vocabulary(language) for code, language in LANGUAGES.items()}

    def passage_terms(self, text: str) -> str:
        """A passage's terms, in its order, in the language that it is written in."""
        text = normalise(text)
        return " ".join(filter(None, map(self._vocabularies[self.detect(text)].__getitem__, _TOKEN.findall(text))))

    def query(self, text: str) -> Query:
        """A query's words, each with its terms in every language.

        A few words do not show their language, and the passages that answer them may be in another one. A passage carries one language's
        stem of each of its words, so of a query word's stems it meets the right one; the others meet nothing. Stop words of the languages
        that the query may be in are left out.
        """
        text = normalise(text)
        ranked = self._detector.rank(text)
        plausible = [self._vocabularies[code] for place, (code, share) in enumerate(ranked) if place == 0 or share >= _PLAUSIBLE]
        words: list[tuple[Word, str]] = []
        length = 0
        for token in _TOKEN.findall(text):
            parts = _PART.findall(token)
            if _is_identifier(token, parts):
                words.append(((_whole(parts),), token))
            for part in parts:
                pairs, spaced = _pieces(part)
                length += len(pairs) + len(spaced)
                words += [((pair,), pair) for pair, _, _ in pairs]
                words += [(self._stems(word), word) for word, _, _ in spaced if all(vocabulary[word] for vocabulary in plausible)]
        kept = words[:_MOST_QUERY_WORDS]
        return Query(tuple(word for word, _ in kept), length, dict(reversed(kept)))

    def locate(self, text: str, terms: Collection[str]) -> list[TermSpan]:
        """Where terms stand in a passage's text, in reading order.

        A passage is analysed with its context, which can make another language of it; so terms that are not found in the text's own
        language are looked for in the others.
        """
        aligned = AlignedText(text)
        missing = set(terms)
        spans: list[TermSpan] = []
        own = self.detect(aligned.text)
        for code in (own, *(code for code in self._vocabularies if code != own)):
            found = list(self._vocabularies[code].locate(aligned.text, missing)) if missing else []
            missing -= {span.term for span in found}
            spans += (TermSpan(span.term, *aligned.origin(span.start, span.end)) for span in found)
        return sorted(spans, key=lambda span: (span.start, span.end))

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
            terms = " ".join(span.term for span in self._spans(token))
        if len(self) >= _REMEMBERED_TOKENS:
            self.clear()
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = terms
        return terms

    def locate(self, text: str, terms: Collection[str]) -> Iterator[TermSpan]:
        """Where terms stand in a text that is normalised."""
        for token in _TOKEN.finditer(text):
            if any(term in terms for term in self[token[0]].split()):
                with self._lock:
                    spans = [span for span in self._spans(token[0]) if span.term in terms]
                yield from (TermSpan(term, token.start() + start, token.start() + end) for term, start, end in spans)

    def _spans(self, token: str) -> list[TermSpan]:
        """A token's terms, each with its place in the token."""
        parts = list(_PART.finditer(token))
        words = [part[0] for part in parts]
        terms = [TermSpan(_whole(words), 0, len(token))] if _is_identifier(token, words) else []
        for part in parts:
            pairs, spaced = _pieces(part[0], part.start())
            terms += pairs
            terms += [TermSpan(self._term(word), start, end) for word, start, end in spaced if word not in self._stop_words]
        return terms

    def _term(self, word: str) -> str:
        return _fold(self._stem(word) if word.isalpha() else word)[:_LONGEST_TERM]


def _is_identifier(token: str, parts: list[str]) -> bool:
    """Whether a token with several parts also means something as a whole: ERR-4012, v2.3.1, ada@example.org, max_length."""
    return len(parts) > 1 and not _ELISION.search(token) and ("@" in token or "_" in token or any(letter.isdigit() for letter in token))


def _whole(parts: list[str]) -> str:
    return _fold(_JOINER.join(parts))[:_LONGEST_TERM]


def _pieces(part: str, at: int = 0) -> tuple[list[TermSpan], list[TermSpan]]:
    """A part's overlapping pairs of characters of scripts without spaces, and its words, which are cut where no word is so long.

    Args:
        part: of a token.
        at: where it stands there.
    """
    runs = [run.span() for run in _UNSPACED.finditer(part)]
    pairs = [
        TermSpan(part[start : min(start + 2, end)], at + start, at + min(start + 2, end))
        for first, end in runs
        for start in range(first, max(end - 1, first + 1))
    ]
    between = zip([0, *(end for _, end in runs)], [*(start for start, _ in runs), len(part)], strict=True)
    words = [TermSpan(part[start:end][:_LONGEST_TERM], at + start, at + end) for start, end in between if start < end]
    return pairs, words


def _fold(term: str) -> str:
    """Without accents, so that who types none finds what has them."""
    if term.isascii():
        return term
    decomposed = unicodedata.normalize("NFD", term.translate(_FOLDED_LETTERS))
    return unicodedata.normalize("NFC", "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn"))
