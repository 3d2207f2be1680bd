"""Scores the sentences of passages against a question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.domain.answer_type import asked_types
from generator.domain.engine import SourcePassage
from generator.domain.quotes import content_stems
from generator.domain.sentences import Unit, UnitKind, units

# What a question's word is worth where it is found: in the sentence, in the words over it, in its neighbour.
_HEADING_WEIGHT = 0.75
_DOCUMENT_WEIGHT = 0.4
_NEIGHBOUR_WEIGHT = 0.4
# Smaller than a word's worth: these decide between sentences that say the same.
_PASSAGE_SCORE_WEIGHT = 0.1
_ANSWER_TYPE_WEIGHT = 0.15


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be part of an answer.

    Attributes:
        passage: its index among the passages.
        terms: how well each of the question's terms is supported, 0 to 1.
        coverage: share of the question's terms that is supported, each by its weight.
        score: coverage, and what else speaks for it.
    """

    passage: int
    unit: Unit
    terms: Mapping[str, float]
    coverage: float
    score: float


def candidates(question: str, passages: Sequence[SourcePassage], language: str) -> tuple[list[Candidate], Mapping[str, float]]:
    """Every sentence of ``passages`` with its score, in document order, and the weights of the question's terms, which add up to 1."""
    pieces = [(index, unit) for index, passage in enumerate(passages) for unit in units(passage.text)]
    own = [content_stems(passages[index].text[unit.start : unit.end], language) for index, unit in pieces]
    weights = _term_weights(content_stems(question, language), own)
    documents = [content_stems(passage.document_name, language) for passage in passages]
    headings = [content_stems(" ".join(passage.headings), language) for passage in passages]
    types = asked_types(question)
    found = []
    for position, (index, unit) in enumerate(pieces):
        if unit.kind is UnitKind.HEADING:
            continue
        above = headings[index] | content_stems(f"{unit.heading} {unit.header}", language)
        beside = _neighbours(pieces, own, position)
        terms = {
            term: max(
                1.0 if term in own[position] else 0.0,
                _HEADING_WEIGHT if term in above else 0.0,
                _NEIGHBOUR_WEIGHT if term in beside else 0.0,
                _DOCUMENT_WEIGHT if term in documents[index] else 0.0,
            )
            for term in weights
        }
        coverage = sum(weights[term] * share for term, share in terms.items())
        sentence = passages[index].text[unit.start : unit.end]
        fits = any(kind.stands_in(sentence) for kind in types)
        score = coverage + _ANSWER_TYPE_WEIGHT * fits + _PASSAGE_SCORE_WEIGHT * _prior(passages[index].score)
        found.append(Candidate(index, unit, terms, coverage, score))
    return found, weights


def _term_weights(question: frozenset[str], own: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency over the sentences at hand; a term that none of them has weighs most."""
    frequency = Counter(term for terms in own for term in terms & question)
    raw = {term: math.log(1 + (len(own) + 0.5) / (frequency[term] + 0.5)) for term in question}
    total = sum(raw.values())
    return {term: weight / total for term, weight in raw.items()} if total else {}


def _neighbours(pieces: Sequence[tuple[int, Unit]], own: Sequence[frozenset[str]], position: int) -> frozenset[str]:
    """The terms of the sentence before, if it stands in the same passage."""
    if position == 0 or pieces[position - 1][0] != pieces[position][0]:
        return frozenset()
    return own[position - 1]


def _prior(score: float) -> float:
    return min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0
