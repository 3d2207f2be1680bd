"""Scores the sentences of passages against a question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from generator.domain.answer_type import AnswerType, asked_type
from generator.domain.engine import SourcePassage
from generator.domain.language import light_words
from generator.domain.quotes import content_stems
from generator.domain.sentences import Unit, UnitKind, cells, units
from generator.domain.terms import is_identifier, stem, words

# What a question's word is worth where it is found.
_HEADER_WEIGHT = 0.9
_HEADING_WEIGHT = 0.75
_NEIGHBOUR_WEIGHT = 0.6
_DOCUMENT_WEIGHT = 0.4
_PASSAGE_WEIGHT = 0.4
# Smaller than a word's worth: these decide between sentences that say about the same.
_PASSAGE_SCORE_WEIGHT = 0.15
_ANSWER_TYPE_WEIGHT = 0.15
# Words that any question may have, and plain numbers: they are a case ("a trip of £3,000") of what texts say in general ("above £2,500").
_LIGHT_WEIGHT = 0.3
# For a table row that is about the very thing that the question names.
_KEY_WEIGHT = 0.3
# Passages come best first; ten times what searches give is enough.
_MAX_SENTENCES = 5_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be part of an answer.

    Attributes:
        passage: its index among the passages.
        support: how well each of the question's terms is supported where the sentence stands, 0 to 1.
        score: the supported share of the question, and what else speaks for the sentence.
        has_type: whether it has the kind of thing that the question asks for.
    """

    passage: int
    unit: Unit
    support: Mapping[str, float]
    score: float
    has_type: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """The sentences that may answer, in document order, and what they were measured by.

    Attributes:
        weights: of the question's terms; they add up to 1.
    """

    candidates: Sequence[Candidate]
    weights: Mapping[str, float]
    answer_type: AnswerType | None

    def coverage(self, support: Mapping[str, float]) -> float:
        """The share of the question that ``support`` supports."""
        return sum(weight * support[term] for term, weight in self.weights.items())


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, taken apart."""

    terms: frozenset[str]
    identifiers: frozenset[str]
    weights: Mapping[str, float]
    answer_type: AnswerType | None
    language: str


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage in pieces, with the terms of each piece and of what stands over them."""

    source: SourcePassage
    units: Sequence[Unit]
    own: Sequence[frozenset[str]]
    whole: frozenset[str]
    headings: frozenset[str]
    document: frozenset[str]

    def speaks_of(self, identifiers: frozenset[str]) -> bool:
        return identifiers <= self.whole | self.headings | self.document


def score(question: str, passages: Sequence[SourcePassage], language: str) -> Scored:
    """Score every sentence of ``passages``.

    A passage that lacks an identifier of the question (a part number, an error code) is left out: it speaks of something else.
    """
    cut = [_cut(passage, language) for passage in passages]
    asked = _question(question, cut, language)
    found = (
        _candidate(asked, index, passage, position)
        for index, passage in enumerate(cut)
        if passage.speaks_of(asked.identifiers)
        for position, unit in enumerate(passage.units)
        if unit.kind is not UnitKind.HEADING
    )
    return Scored(list(islice(found, _MAX_SENTENCES)), asked.weights, asked.answer_type)


def _cut(passage: SourcePassage, language: str) -> _Passage:
    pieces = units(passage.text)
    own = [content_stems(_words_of(unit, passage.text), language) for unit in pieces]
    headings = content_stems(" ".join(passage.headings), language)
    return _Passage(passage, pieces, own, frozenset().union(*own), headings, content_stems(passage.document_name, language))


def _words_of(unit: Unit, text: str) -> str:
    """What a piece itself says: of a row its cells, without names of columns that every row repeats."""
    piece = text[unit.start : unit.end]
    return " ".join(cells(piece)) if unit.kind is UnitKind.ROW else piece


def _question(question: str, passages: Sequence[_Passage], language: str) -> _Question:
    """Weigh the question's terms by how rare they are in the sentences at hand; one that none has weighs as much as the rarest."""
    terms = content_stems(question, language)
    sentences = [own for passage in passages for own in passage.own]
    frequency = Counter(term for own in sentences for term in own & terms)
    light = {stem(word, language) for word in light_words(language)}
    raw = {
        term: math.log(1 + (len(sentences) + 0.5) / (max(1, frequency[term]) + 0.5))
        * (_LIGHT_WEIGHT if term in light or term[0].isdigit() else 1)
        for term in sorted(terms)  # sums of floats depend on their order, and that of sets changes from process to process
    }
    weights = {term: weight / sum(raw.values()) for term, weight in raw.items()}
    return _Question(terms, frozenset(filter(is_identifier, terms)), weights, asked_type(question), language)


def _candidate(asked: _Question, index: int, passage: _Passage, position: int) -> Candidate:
    unit = passage.units[position]
    sentence = passage.source.text[unit.start : unit.end]
    header = content_stems(unit.header, asked.language)
    support = _support(asked, passage, position, header)
    # "Lead time in weeks" makes the number under it a time, for whoever asks for the lead time.
    context = unit.header.replace("_", " ") if asked.terms & header else ""
    has_type = asked.answer_type is not None and asked.answer_type.stands_in(f"{context} {sentence}")
    is_key = unit.kind is UnitKind.ROW and not asked.identifiers.isdisjoint(words(cells(sentence)[0]))
    total = (
        sum(asked.weights[term] * share for term, share in support.items())
        + _ANSWER_TYPE_WEIGHT * has_type
        + _KEY_WEIGHT * is_key
        + _PASSAGE_SCORE_WEIGHT * _prior(passage.source.score)
    )
    return Candidate(index, unit, support, total, has_type)


def _support(asked: _Question, passage: _Passage, position: int, header: frozenset[str]) -> dict[str, float]:
    places = (
        (1.0, passage.own[position]),
        (_HEADER_WEIGHT, header),
        (_HEADING_WEIGHT, passage.headings | content_stems(passage.units[position].heading, asked.language)),
        (_NEIGHBOUR_WEIGHT, passage.own[position - 1] if position else frozenset[str]()),
        (_DOCUMENT_WEIGHT, passage.document),
        (_PASSAGE_WEIGHT, passage.whole),
    )
    return {term: max((worth for worth, terms in places if term in terms), default=0.0) for term in asked.weights}


def _prior(passage_score: float) -> float:
    return min(1.0, max(0.0, passage_score)) if math.isfinite(passage_score) else 0.0
