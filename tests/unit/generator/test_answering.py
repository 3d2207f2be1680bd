from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from generator.domain.answering import Answering, AnswerRequest, Completed
from generator.domain.engine import AnswerLimits, Event, Question, SourcePassage, TextDelta
from generator.domain.extractive import ExtractiveEngine
from generator.domain.models import Model
from shared.errors import AppError, Status
from tests.unit.generator.scripted_models import registry


class Observed:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.outcomes: list[str] = []

    def in_flight(self, count: int) -> None:
        self.counts.append(count)

    def ended(self, model: str, outcome: str, total_seconds: float) -> None:
        self.outcomes.append(outcome)


class FailingEngine:
    """Says one word and fails."""

    kind = "failing"

    async def answer(self, question: Question, passages: Sequence[SourcePassage], limits: AnswerLimits) -> AsyncGenerator[Event, None]:
        yield TextDelta("Well")
        raise AppError("MODEL_STREAM_CUT", Status.UNAVAILABLE, "Cut.")


REQUEST = AnswerRequest("How many days?", [SourcePassage("p", "There are 26 days of leave.")])


def answering(observer: Observed, max_concurrent_answers: int = 1) -> Answering:
    models = registry(Model("extractive", ExtractiveEngine()), Model("failing", FailingEngine()))
    return Answering(models, max_concurrent_answers=max_concurrent_answers, observer=observer)


async def test_an_answer_ends_with_what_it_took() -> None:
    observer = Observed()
    events = [event async for event in answering(observer).answer(REQUEST)]
    completed = events[-1]
    assert isinstance(completed, Completed)
    assert 0 < completed.first_delta_seconds <= completed.total_seconds
    assert observer.counts == [1, 0]
    assert observer.outcomes == ["answered"]


async def test_an_answer_more_than_is_allowed_at_once_is_refused_until_one_ends() -> None:
    observer = Observed()
    service = answering(observer)
    running = service.answer(REQUEST)
    await anext(running)
    with pytest.raises(AppError) as refused:
        await anext(service.answer(REQUEST))
    assert (refused.value.status, refused.value.reason) == (Status.RESOURCE_EXHAUSTED, "GENERATOR_BUSY")
    assert refused.value.retry_after_seconds
    await running.aclose()
    assert [event async for event in service.answer(REQUEST)]
    assert observer.outcomes == ["abandoned", "answered"]


async def test_an_engine_s_failure_frees_its_place_and_is_counted_by_its_reason() -> None:
    observer = Observed()
    service = answering(observer)
    with pytest.raises(AppError):
        [event async for event in service.answer(AnswerRequest("Why?", [], model="failing"))]
    assert observer.outcomes == ["MODEL_STREAM_CUT"]
    assert [event async for event in service.answer(REQUEST)]


async def test_a_refused_request_takes_no_place() -> None:
    observer = Observed()
    with pytest.raises(AppError):
        await anext(answering(observer).answer(AnswerRequest(" ")))
    assert observer.counts == []


async def test_the_language_of_the_answer_is_the_question_s_unless_it_is_given() -> None:
    service = answering(Observed())
    french = [event async for event in service.answer(AnswerRequest("Quelle est la recette du gratin ?"))]
    english = [event async for event in service.answer(AnswerRequest("Quelle est la recette du gratin ?", language="en"))]
    assert isinstance(french[0], TextDelta)
    assert isinstance(english[0], TextDelta)
    assert (french[0].text[:2], english[0].text[:2]) == ("Je", "I ")
