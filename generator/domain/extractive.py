"""Answers by quoting: picks the sentences that answer, and no others. No language model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from generator.domain.citations import without_markers
from generator.domain.engine import AnswerLimits, Citation, Event, Finished, FinishReason, SourcePassage, TextDelta
from generator.domain.refusals import refusal
from generator.domain.relevance import Candidate, candidates

MAX_SENTENCES = 4
# Share of the question's words, by weight, that the picked sentences and the words over them must support.
MIN_COVERAGE = 0.55
# A further sentence must support this much that the ones before do not, or be nearly as good as the first.
_MIN_GAIN = 0.12
_NEAR_BEST = 0.9
# Below this a choice takes well under a millisecond, which the event loop can spare.
_INLINE_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Selection:
    """The sentences of an answer in the order in which they are written; empty when nothing answers."""

    candidates: tuple[Candidate, ...]


def select(question: str, passages: Sequence[SourcePassage], language: str) -> Selection:
    """Pick the few sentences that together answer ``question``. CPU-bound: about a millisecond for ten passages."""
    found, weights = candidates(question, passages, language)
    if not found or not weights:
        return Selection(())
    ranked = sorted(found, key=lambda candidate: -candidate.score)
    picked = [ranked[0]]
    covered = dict(ranked[0].terms)
    for candidate in ranked[1:]:
        if len(picked) == MAX_SENTENCES:
            break
        if _gain(candidate, covered, weights) >= _MIN_GAIN or candidate.score >= _NEAR_BEST * ranked[0].score:
            picked.append(candidate)
            covered = {term: max(covered[term], candidate.terms[term]) for term in covered}
    if sum(weights[term] * share for term, share in covered.items()) < MIN_COVERAGE:
        return Selection(())
    return Selection(tuple(_in_order(picked)))


def _gain(candidate: Candidate, covered: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights[term] * max(0.0, share - covered[term]) for term, share in candidate.terms.items())


def _in_order(picked: Sequence[Candidate]) -> list[Candidate]:
    """Passages by their best sentence, and within a passage as it was written."""
    rank = {candidate.passage: position for position, candidate in reversed(list(enumerate(picked)))}
    return sorted(picked, key=lambda candidate: (rank[candidate.passage], candidate.unit.start))


class ExtractiveEngine:
    """Quotes the sentences that answer. Token limits count words here."""

    kind = "extractive"

    async def answer(
        self, question: str, passages: Sequence[SourcePassage], language: str, limits: AnswerLimits
    ) -> AsyncGenerator[Event, None]:
        if sum(len(passage.text) for passage in passages) <= _INLINE_CHARACTERS:
            selection = select(question, passages, language)
        else:
            selection = await asyncio.to_thread(select, question, passages, language)
        if not selection.candidates:
            yield TextDelta(refusal(language))
            yield Finished(answered=False)
            return
        for event in written(selection, passages, limits):
            yield event


def written(selection: Selection, passages: Sequence[SourcePassage], limits: AnswerLimits) -> list[Event]:
    """The answer's events: each sentence with its marker, then, the first time, what the marker stands for."""
    events: list[Event] = []
    markers: dict[int, int] = {}
    words_left = limits.max_tokens
    reason = FinishReason.STOP
    for candidate in selection.candidates:
        quote = passages[candidate.passage].text[candidate.unit.start : candidate.unit.end]
        sentence = " ".join(without_markers(quote).split())
        if words_left is not None and len(sentence.split()) > words_left:
            reason = FinishReason.LENGTH
            if events:
                break
            sentence = " ".join(sentence.split()[:words_left])
        new = candidate.passage not in markers
        marker = markers.setdefault(candidate.passage, len(markers) + 1)
        events.append(TextDelta(f"{' ' if events else ''}{sentence} [{marker}]"))
        if new:
            passage_id = passages[candidate.passage].passage_id
            events.append(Citation(marker, passage_id, quote, candidate.unit.start, candidate.unit.end))
        if reason is FinishReason.LENGTH:
            break
        words_left = None if words_left is None else words_left - len(sentence.split())
    return [*events, Finished(answered=True, reason=reason)]
