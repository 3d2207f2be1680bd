"""Finds the words of a passage that a statement rests on."""

from __future__ import annotations

import re

from generator.domain.engine import Citation, SourcePassage
from generator.domain.language import function_words
from generator.domain.sentences import Unit, UnitKind, sentence_spans, units
from generator.domain.terms import fold, stem, words

_MARKERS = re.compile(r"\s*\[\d+\]")


def supporting_quote(marker: int, passage: SourcePassage, written: str, language: str) -> Citation:
    """The citation of ``passage`` for the last sentence of ``written``: the sentence of the passage that shares most with it.

    Words are compared by their stems in ``language``, each weighed by how rare it is in the passage; of equals the first is taken.
    """
    candidates = [unit for unit in units(passage.text) if unit.kind is not UnitKind.HEADING] or [
        Unit(0, len(passage.text), UnitKind.SENTENCE)
    ]
    stated = content_stems(last_sentence(written), language)
    shares = [stated & content_stems(passage.text[unit.start : unit.end], language) for unit in candidates]
    frequency = {term: sum(term in share for share in shares) for term in stated}
    best = max(range(len(candidates)), key=lambda index: (sum(1 / frequency[term] for term in shares[index]), -index))
    unit = candidates[best]
    return Citation(marker, passage.passage_id, passage.text[unit.start : unit.end], unit.start, unit.end)


def last_sentence(written: str) -> str:
    """The last sentence or line of ``written`` that has words, without markers."""
    statement = _MARKERS.sub("", written)
    spans = list(sentence_spans(statement, 0, len(statement)))
    if not spans:
        return ""
    lines = statement[spans[-1][0] : spans[-1][1]].splitlines()
    return lines[-1] if lines else ""


def content_stems(text: str, language: str) -> frozenset[str]:
    """The stems of the words of ``text`` that say something of its subject."""
    ignored = function_words(language)
    return frozenset(stem(word, language) for word in words(text) if fold(word) not in ignored)
