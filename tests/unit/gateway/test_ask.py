"""Ask over a generator that says what a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import pytest

from gateway.domain.ask import AnswerEnd, AnswerEvent, Ask, Citation, Complete, Delta, Question, Quote, Role, Turn
from gateway.domain.passages import Passage
from gateway.domain.search import Found, Query, Search
from shared.errors import AppError
from tests.unit.gateway.test_search import Library, RankedIndex, ids

END = AnswerEnd(answered=True, finish_reason="STOP", model="m", prompt_tokens=3, answer_tokens=4, first_delta_ms=1.5)


@dataclass
class Script:
    """A generator that gives ``events``."""

    events: Sequence[AnswerEvent]
    passages: Sequence[tuple[Passage, float]] = ()
    question: Question | None = None
    closed: bool = False
    given: list[AnswerEvent] = field(default_factory=list)

    async def condense(self, question: Question) -> str:
        return f"{question.history[-1].text} {question.query.text}"

    async def answer(self, question: Question, passages: Sequence[tuple[Passage, float]]) -> AsyncGenerator[AnswerEvent, None]:
        self.question, self.passages = question, passages
        try:
            for event in self.events:
                self.given.append(event)
                yield event
        finally:
            self.closed = True


def asking(script: Script) -> Ask:
    library = Library()
    return Ask(Search(RankedIndex(ids(20)), library, library), script)


QUESTION = Question(Query("why?", limit=3))


async def test_the_generator_gets_the_passages_found_best_first_with_their_scores() -> None:
    script = Script([END])
    await asking(script).run(QUESTION)
    assert [(passage.passage_id, score) for passage, score in script.passages] == [("p0", 1.0), ("p1", 0.5), ("p2", 1 / 3)]


async def test_a_question_in_a_conversation_is_searched_as_it_was_condensed_and_answered_as_it_was_asked() -> None:
    script, index, library = Script([END]), RankedIndex(ids(20)), Library()
    question = replace(QUESTION, history=[Turn(Role.USER, "what?")])
    complete = await Ask(Search(index, library, library), script).run(question)
    assert index.texts == ["what? why?"]
    assert script.question == question
    assert complete.found.timings_ms["condense"] >= 0


async def test_hits_come_first_then_the_answer_as_it_is_made_then_the_whole() -> None:
    quote = Quote(1, "p1", "text", 0, 4)
    script = Script([Delta("Because "), Delta("so [1]."), quote, END])
    events = [event async for event in asking(script).stream(QUESTION)]
    assert [type(event) for event in events] == [Found, Delta, Delta, Citation, Complete]
    complete = events[-1]
    assert isinstance(complete, Complete)
    assert complete.answer == "Because so [1]."
    assert [(one.quote, one.passage.passage_id) for one in complete.citations] == [(quote, "p1")]
    assert complete.found.timings_ms["first_delta"] == 1.5
    assert {"search", "answer", "total"} <= set(complete.found.timings_ms)


async def test_a_citation_of_a_passage_that_was_not_given_is_dropped() -> None:
    complete = await asking(Script([Delta("x [9]"), Quote(9, "p19", "text", 0, 4), END])).run(QUESTION)
    assert complete.citations == []


async def test_a_generator_that_ends_without_an_end_is_an_error() -> None:
    with pytest.raises(AppError) as raised:
        await asking(Script([Delta("Because")])).run(QUESTION)
    assert raised.value.reason == "ANSWER_CUT"


async def test_closing_the_stream_closes_the_generator() -> None:
    script = Script([Delta("a"), Delta("b"), END])
    async with aclosing(asking(script).stream(QUESTION)) as events:
        await anext(events)
        await anext(events)
        assert not script.closed
    assert script.closed
    assert script.given == [Delta("a")]
