"""Answers by quoting: picks the sentences that answer, and no others. No language model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from generator import errors
from generator.domain.citations import without_markers
from generator.domain.clean_text import clean
from generator.domain.engine import AnswerLimits, Citation, Event, Finished, Question, SourcePassage, TextDelta
from generator.domain.follow_ups import completed
from generator.domain.language import detect_language
from generator.domain.language_model import FinishReason
from generator.domain.links import links_in
from generator.domain.refusals import refusal
from generator.domain.relevance import Candidate, Scored, score
from generator.domain.sanitising import sanitised
from generator.domain.sentences import Unit, UnitKind, cells

MAX_SENTENCES = 4
# Share of the question's words, by weight, that the picked sentences and the words over them must support.
MIN_COVERAGE = 0.5
# A further sentence must support this much that the ones before do not, or be nearly as good as the first.
_MIN_GAIN = 0.12
_NEAR_BEST = 0.85
_NEAR_BEST_ELSEWHERE = 0.9
# Sentences supported less than this are shown with those after them, which often finish what they begin.
_SURE_COVERAGE = 0.75
_MAX_QUOTE_CHARACTERS = 600
# Below this a choice takes a millisecond or two, which the event loop can spare.
_INLINE_CHARACTERS = 2_000
_BULLET = re.compile(r"^(?:[-*•‣◦–]|\d{1,3}[.)]|[a-z]\))\s+")
_EMPHASIS = re.compile(r"\*\*|__|`")


@dataclass(frozen=True, slots=True)
class Selection:
    """The sentences of an answer in the order in which they are written; empty when nothing answers."""

    candidates: tuple[Candidate, ...]


def select(question: str, passages: Sequence[SourcePassage], language: str) -> Selection:
    """Pick the few sentences that together answer ``question``. CPU-bound: about a millisecond for ten passages."""
    scored = score(question, passages, language)
    if not scored.candidates or not scored.weights:
        return Selection(())
    ranked = sorted(scored.candidates, key=lambda candidate: -candidate.score)
    picked = [ranked[0]]
    # What an answer rests on must stand together: words that are scattered over passages say nothing.
    support = dict(ranked[0].support)
    for candidate in ranked[1:]:
        if len(picked) == MAX_SENTENCES:
            break
        is_home = candidate.passage == ranked[0].passage
        near = _NEAR_BEST if is_home else _NEAR_BEST_ELSEWHERE
        if candidate.score >= near * ranked[0].score or (is_home and _gain(candidate, support, scored) >= _MIN_GAIN):
            picked.append(candidate)
            if is_home:
                support = {term: max(share, candidate.support[term]) for term, share in support.items()}
    coverage = scored.coverage(support)
    if coverage < MIN_COVERAGE or _lacks_type(picked, scored):
        return Selection(())
    if coverage < _SURE_COVERAGE:
        picked += _following(picked, scored)
    return Selection(tuple(_in_order(picked)))


def _following(picked: Sequence[Candidate], scored: Scored) -> list[Candidate]:
    """The sentences after those of ``picked`` that stand in the passage of the best one, as many as an answer has room for."""
    home = [candidate for candidate in scored.candidates if candidate.passage == picked[0].passage]
    after = [second for first, second in pairwise(home) if first in picked and second not in picked]
    return after[: MAX_SENTENCES - len(picked)]


def _gain(candidate: Candidate, support: Mapping[str, float], scored: Scored) -> float:
    gained = {term: max(0.0, share - support[term]) for term, share in candidate.support.items()}
    return scored.coverage(gained)


def _lacks_type(picked: Sequence[Candidate], scored: Scored) -> bool:
    return scored.answer_type is not None and scored.answer_type.required and not any(candidate.has_type for candidate in picked)


def _in_order(picked: Sequence[Candidate]) -> list[Candidate]:
    """Passages by their best sentence, and within a passage as it was written."""
    rank = {candidate.passage: position for position, candidate in reversed(list(enumerate(picked)))}
    return sorted(picked, key=lambda candidate: (rank[candidate.passage], candidate.unit.start))


class ExtractiveEngine:
    """Quotes the sentences that answer, also a question that leans on the conversation. Token limits count words here.

    Instructions are for whoever writes; this engine takes none.
    """

    kind = "extractive"

    async def answer(self, question: Question, passages: Sequence[SourcePassage], limits: AnswerLimits) -> AsyncGenerator[Event, None]:
        text = completed(question.text, question.history, detect_language(question.text), errors.MAX_QUESTION_CHARACTERS)
        if sum(len(passage.text) for passage in passages) <= _INLINE_CHARACTERS:
            selection = select(text, passages, question.language)
        else:
            selection = await asyncio.to_thread(select, text, passages, question.language)
        if not selection.candidates:
            yield TextDelta(refusal(question.language))
            yield Finished(answered=False)
            return
        for event in written(selection, passages, limits):
            yield event


def written(selection: Selection, passages: Sequence[SourcePassage], limits: AnswerLimits) -> list[Event]:
    """The answer's events: each sentence with its marker, then, the first time, what the marker stands for."""
    events: list[Event] = []
    markers: dict[int, int] = {}
    words_left = limits.max_tokens
    for candidate in selection.candidates:
        sentence = readable(passages[candidate.passage].text, candidate.unit)
        count = len(sentence.split())
        if words_left is not None and count > words_left:
            if events:
                return [*events, Finished(answered=True, reason=FinishReason.LENGTH)]
            sentence = " ".join(sentence.split()[:words_left])
        is_first = candidate.passage not in markers
        marker = markers.setdefault(candidate.passage, len(markers) + 1)
        events.append(TextDelta(f"{' ' if events else ''}{sentence} [{marker}]"))
        if is_first:
            events.append(_citation(marker, candidate.passage, selection, passages))
        if words_left is not None and count > words_left:
            return [*events, Finished(answered=True, reason=FinishReason.LENGTH)]
        words_left = None if words_left is None else words_left - count
    return [*events, Finished(answered=True)]


def readable(text: str, unit: Unit) -> str:
    """A piece of a passage as it is written into an answer: one line, a table row with the names of its columns.

    It has no mark-up, no image, no HTML, and nothing that looks like a citation.
    """
    piece = text[unit.start : unit.end]
    names = cells(unit.header) if unit.header else []
    if unit.kind is UnitKind.ROW and len(names) == len(cells(piece)):
        filled = [(name.replace("_", " "), cell) for name, cell in zip(names, cells(piece), strict=True) if cell]
        piece = "; ".join(f"{name}: {cell}" if name else cell for name, cell in filled)
    elif unit.kind is UnitKind.ITEM:
        piece = _BULLET.sub("", piece)
    shown = without_markers(_EMPHASIS.sub("", clean(piece)))
    return " ".join(sanitised(shown, links_in(shown)).split())


def _citation(marker: int, index: int, selection: Selection, passages: Sequence[SourcePassage]) -> Citation:
    """What a passage's marker stands for: its first picked sentence, up to its last one if they stand close together."""
    picked = [candidate.unit for candidate in selection.candidates if candidate.passage == index]
    start, end = picked[0].start, picked[-1].end
    if end - start > _MAX_QUOTE_CHARACTERS:
        end = picked[0].end
    return Citation(marker, passages[index].passage_id, passages[index].text[start:end], start, end)
