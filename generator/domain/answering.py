"""Answers questions: checks a request, finds its model, and keeps the number of answers at once in bounds."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from generator import errors
from generator.domain.condensing import check_question
from generator.domain.engine import AnswerLimits, Citation, Finished, SourcePassage, TextDelta
from generator.domain.language import detect_language
from generator.domain.models import Endpoint, Model, ModelRegistry
from shared.errors import AppError, too_busy

# Streams last seconds: by then one of those in flight has ended.
_RETRY_AFTER_SECONDS = 2.0
_LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question and what its answer may rest on, best first. An empty model or language asks for the default."""

    question: str
    passages: Sequence[SourcePassage] = ()
    model: str = ""
    language: str = ""
    limits: AnswerLimits = field(default_factory=AnswerLimits)
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
        check(request)
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
                    yield event
        except AppError as error:
            outcome = error.reason
            raise
        finally:
            self._observer.ended(model.name, outcome, self._now() - started)

    async def _timed(self, model: Model, request: AnswerRequest, started: float) -> AsyncGenerator[TextDelta | Citation | Completed, None]:
        language = request.language or detect_language(request.question)
        first_delta: float | None = None
        async with aclosing(model.engine.answer(request.question, request.passages, language, request.limits)) as events:
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


def check(request: AnswerRequest) -> None:
    """Refuse a request that cannot be answered as it is.

    Raises:
        AppError: INVALID_ARGUMENT with the reason.
    """
    check_question(request.question)
    if request.language and not _LANGUAGE.fullmatch(request.language):
        raise errors.language_invalid()
    if len(request.passages) > errors.MAX_PASSAGES:
        raise errors.too_many_passages()
    if sum(len(passage.text) for passage in request.passages) > errors.MAX_PASSAGE_CHARACTERS:
        raise errors.passages_too_long()
    seen: set[str] = set()
    for index, passage in enumerate(request.passages):
        if not passage.passage_id.strip():
            raise errors.empty_passage_id(index)
        if passage.passage_id in seen:
            raise errors.duplicate_passage_id(index, passage.passage_id)
        seen.add(passage.passage_id)
