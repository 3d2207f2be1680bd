"""Ask: search, then an answer that cites what was found."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import structlog

from gateway.domain.passages import Passage
from gateway.domain.search import Found, Query, Search
from shared.errors import AppError, Status

log = structlog.get_logger()


class Role(StrEnum):
    """Who writes in a conversation."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that an organisation brings: an endpoint that speaks the OpenAI chat protocol; 0 tokens: the generator's default."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    context_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        query: what to search; its text is the question.
        model: empty: the generator's default.
        language: ISO 639-1 code of the answer's language; empty: the question's.
        instructions: what an assistant adds to the rules of answering.
        history: the conversation before the question, oldest first.
        endpoint: where ``model`` runs when it is not one of the generator's own.
        max_answer_tokens: bound of the answer's length; 0: the model's default.
    """

    query: Query
    model: str = ""
    language: str = ""
    instructions: str = ""
    history: Sequence[Turn] = ()
    endpoint: Endpoint | None = None
    max_answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """A citation as the generator gives it, checked there."""

    marker: int
    passage_id: str
    quote: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How an answer ended.

    Attributes:
        answered: whether the passages hold an answer; when not, the text says so.
        finish_reason: ``STOP`` or ``LENGTH``.
    """

    answered: bool
    finish_reason: str
    model: str
    prompt_tokens: int
    answer_tokens: int
    first_delta_ms: float


AnswerEvent = Delta | Quote | AnswerEnd


class Answers(Protocol):
    """Who answers from passages."""

    async def condense(self, question: Question) -> str:
        """The question's text said so that it can be searched without the conversation before it."""
        ...

    def answer(self, question: Question, passages: Sequence[tuple[Passage, float]]) -> AsyncGenerator[AnswerEvent, None]:
        """Deltas and quotes, then one end. ``passages`` come with their scores, best first. Closing the generator stops the work."""
        ...


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote with the place where it stands."""

    quote: Quote
    passage: Passage


@dataclass(frozen=True, slots=True)
class Complete:
    """The whole exchange, once it is over."""

    answer: str
    citations: Sequence[Citation]
    found: Found
    end: AnswerEnd


@dataclass(slots=True)
class _Exchange:
    found: Found
    started: float
    text: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    def cite(self, quote: Quote) -> Citation | None:
        """The citation of ``quote``; None when its passage was never given or does not say it, which only a broken generator does."""
        passage = next((hit.passage for hit in self.found.hits if hit.passage.passage_id == quote.passage_id), None)
        if passage is None or quote.quote not in passage.text:
            log.error("citation_untrue", passage_id=quote.passage_id, given=passage is not None)
            return None
        citation = Citation(quote, passage)
        self.citations.append(citation)
        return citation

    def complete(self, end: AnswerEnd) -> Complete:
        timings = self.found.timings_ms
        timings["search"] = timings.pop("total")
        timings["first_delta"] = end.first_delta_ms
        timings["total"] = (time.perf_counter() - self.started) * 1000
        timings["answer"] = timings["total"] - timings["search"] - timings.get("condense", 0.0)
        return Complete("".join(self.text), self.citations, self.found, end)


class Ask:
    """Answers questions from what the current caller may see."""

    def __init__(self, search: Search, answers: Answers) -> None:
        self._search = search
        self._answers = answers

    async def stream(self, question: Question) -> AsyncGenerator[Found | Delta | Citation | Complete, None]:
        """What was found, then text and citations as they come, then the whole.

        Closing the generator stops the answer being made.

        Raises:
            AppError: of the search or the generator; ANSWER_CUT when the generator ended without an end.
        """
        started = time.perf_counter()
        query, condense_ms = await self._condensed(question)
        found = await self._search.run(query)
        found.timings_ms |= condense_ms
        yield found
        exchange = _Exchange(found, started)
        passages = [(hit.passage, hit.candidate.score) for hit in found.hits]
        async with aclosing(self._answers.answer(question, passages)) as events:
            async for event in events:
                match event:
                    case Delta(text):
                        exchange.text.append(text)
                        yield event
                    case Quote():
                        if citation := exchange.cite(event):
                            yield citation
                    case AnswerEnd():
                        yield exchange.complete(event)
                        return
        raise AppError("ANSWER_CUT", Status.UNAVAILABLE, "The answer ended before it was complete. Ask again.", retry_after_seconds=1.0)

    async def _condensed(self, question: Question) -> tuple[Query, Mapping[str, float]]:
        """What to search, and what finding that out took."""
        if not question.history:
            return question.query, {}
        started = time.perf_counter()
        text = await self._answers.condense(question)
        return replace(question.query, text=text), {"condense": (time.perf_counter() - started) * 1000}

    async def run(self, question: Question) -> Complete:
        """`stream`, to its end."""
        async with aclosing(self.stream(question)) as events:
            async for event in events:
                if isinstance(event, Complete):
                    return event
        raise AssertionError("stream ends with Complete or raises")
