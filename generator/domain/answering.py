"""Answers questions: checks a request, finds its model, and keeps the number of answers at once in bounds."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from generator.domain.engine import AnswerLimits, Citation, Finished, Question, SourcePassage, TextDelta
from generator.domain.language import detect_language
from generator.domain.language_model import Message
from generator.domain.models import Endpoint, Model, ModelRegistry
from generator.domain.request_checks import check_history, check_instructions, check_language, check_passages, check_question
from shared.errors import AppError, too_busy

# Streams last seconds: by then one of those in flight has ended.
_RETRY_AFTER_SECONDS = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question and what its answer may rest on, best first. An empty model or language asks for the default.

    Attributes:
        instructions: what an assistant adds to the rules.
        history: the conversation before the question, oldest first.
    """

    question: str
    passages: Sequence[SourcePassage] = ()
    model: str = ""
    language: str = ""
    limits: AnswerLimits = field(default_factory=AnswerLimits)
    instructions: str = ""
    history: Sequence[Message] = ()
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of an answer and what it took.

    Attributes:
        first_delta_seconds: until the first text; the whole time if there was none.
    """

    model: str
    finished: Finished
    first_delta_seconds: float
    total_seconds: float


class AnswerObserver(Protocol):
    """Is told how answers go."""

    def in_flight(self, count: int) -> None:
        """``count`` answers are being written now."""

    def ended(self, model: str, outcome: str, total_seconds: float) -> None:
        """An answer of ``model`` ended: ``answered``, ``not_answered``, ``abandoned``, or the reason of its error."""


class Answering:
    """Answers questions with the models it was given."""

    def __init__(
        self,
        models: ModelRegistry,
        *,
        max_concurrent_answers: int,
        observer: AnswerObserver,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._models = models
        self._max_concurrent = max_concurrent_answers
        self._observer = observer
        self._now = now
        self._in_flight = 0

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[TextDelta | Citation | Completed, None]:
        """Stream the answer: deltas and citations, then one `Completed`. Closing the iterator stops the model and frees the slot.

        Raises:
            AppError: the request is wrong, too many answers are being written, or the engine failed.
        """
        _check(request)
        with self._admitted():
            async with (
                self._models.open(request.model, request.endpoint) as model,
                aclosing(self._observed(model, request)) as events,
            ):
                async for event in events:
                    yield event

    async def _observed(self, model: Model, request: AnswerRequest) -> AsyncGenerator[TextDelta | Citation | Completed, None]:
        started = self._now()
        outcome = "abandoned"
        try:
            async with aclosing(self._timed(model, request, started)) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        outcome = "answered" if event.finished.answered else "not_answered"
                        _log(event)
                    yield event
        except AppError as error:
            outcome = error.reason
            raise
        finally:
            self._observer.ended(model.label, outcome, self._now() - started)

    async def _timed(self, model: Model, request: AnswerRequest, started: float) -> AsyncGenerator[TextDelta | Citation | Completed, None]:
        language = request.language or detect_language(request.question)
        question = Question(request.question, language, request.instructions, request.history)
        first_delta: float | None = None
        async with aclosing(model.engine.answer(question, request.passages, request.limits)) as events:
            async for event in events:
                elapsed = self._now() - started
                if isinstance(event, Finished):
                    yield Completed(model.name, event, elapsed if first_delta is None else first_delta, elapsed)
                    return
                first_delta = elapsed if first_delta is None else first_delta
                yield event

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._in_flight >= self._max_concurrent:
            raise too_busy("generator", retry_after_seconds=_RETRY_AFTER_SECONDS)
        self._in_flight += 1
        self._observer.in_flight(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._observer.in_flight(self._in_flight)


def _log(completed: Completed) -> None:
    finished = completed.finished
    log.info(
        "answer_completed",
        model=completed.model,
        answered=finished.answered,
        finish_reason=finished.reason,
        first_delta_milliseconds=round(completed.first_delta_seconds * 1000, 1),
        milliseconds=round(completed.total_seconds * 1000, 1),
        prompt_tokens=finished.prompt_tokens,
        answer_tokens=finished.answer_tokens,
        dropped_markers=finished.dropped_markers,
        removed_links=finished.removed_links,
    )


def _check(request: AnswerRequest) -> None:
    check_question(request.question)
    check_language(request.language)
    check_instructions(request.instructions)
    check_history(request.history)
    check_passages(request.passages)
