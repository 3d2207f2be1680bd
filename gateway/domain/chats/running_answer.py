"""An answer in work: who writes it, who reads it, and what may end it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog

from gateway.domain.accounts import Principal
from gateway.domain.ask import Citation, Delta, Question
from gateway.domain.chats.answer_draft import Draft
from gateway.domain.chats.answer_log import AnswerLog
from gateway.domain.chats.messages import Message, MessageState, Outcome
from gateway.domain.search import Found
from gateway.errors import internal
from shared.errors import AppError

log = structlog.get_logger()
CLIENT_LEFT: Final = "CLIENT_LEFT"
STOPPED_BY_USER: Final = "STOPPED_BY_USER"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A stored question, and the place of its answer.

    Attributes:
        asked: what the answer is made from.
        trace_id: under which every service logs its making.
        names_chat: whether the chat has no title yet.
    """

    principal: Principal
    question: Message
    answer: Message
    asked: Question
    trace_id: str
    names_chat: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """The first event: the question, the place of its answer, and what the answer may rest on."""

    exchange: Exchange
    found: Found


@dataclass(frozen=True, slots=True)
class Titled:
    """The chat has got a title."""

    title: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of an answer that was completed, or stopped."""

    answer: Message


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event of an answer that failed."""

    error: AppError


AnswerEvent = Begun | Delta | Citation | Titled | Ended | Failed


class RunningAnswer:
    """An answer that is written for as long as somebody wants it.

    When its last reader has left, and before its first has come, it goes on for ``resume_seconds``.
    """

    def __init__(self, exchange: Exchange, resume_seconds: float) -> None:
        self.exchange = exchange
        self.draft = Draft()
        self._log: AnswerLog[AnswerEvent] = AnswerLog(self._expect_readers)
        self._resume_seconds = resume_seconds
        self._leaving: asyncio.TimerHandle | None = None
        self._stop_reason = ""
        self._failure: AppError | None = None
        self._over = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether its last event has been given."""
        return self._over.is_set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let ``work`` fill the draft."""
        self._work = asyncio.create_task(work)
        self._expect_readers()

    def tell(self, event: AnswerEvent) -> None:
        """Give ``event`` to those who read; after the end, nothing is."""
        self._log.append(event)

    def end(self, last: Ended | Failed) -> None:
        """Give the one event after which none comes."""
        self._stay()
        self._log.end(last)
        self._over.set()

    def stop(self, reason: str) -> None:
        """End it here; it is kept as far as it has come."""
        self._stop_reason = self._stop_reason or reason
        self._cancel()

    def fail(self, error: AppError) -> None:
        """End it with ``error``."""
        self._failure = self._failure or error
        self._cancel()

    async def over(self) -> None:
        """Wait until its last event has been given."""
        await self._over.wait()

    async def written(self) -> tuple[Outcome, AppError | None]:
        """Wait until nothing more is written: what became of it, and what failed."""
        assert self._work is not None, "it was begun"
        await asyncio.wait({self._work})
        error = self._failure if self._work.cancelled() else self._work.exception()
        if error is None:
            return self.draft.outcome(MessageState.STOPPED, self._stop_reason), None
        if not isinstance(error, AppError):
            log.error("answer_failed", message_id=self.exchange.answer.message_id, exc_info=error)
            error = internal()
        outcome = self.draft.outcome(MessageState.FAILED, error.reason)
        return outcome, error if outcome.state is MessageState.FAILED else None

    async def events(self, after: int = 0) -> AsyncGenerator[tuple[int, AnswerEvent], None]:
        """The events after number ``after`` with their numbers, to the last one."""
        self._stay()
        async with aclosing(self._log.read(after)) as events:
            async for event in events:
                yield event

    def _expect_readers(self) -> None:
        self._stay()
        self._leaving = asyncio.get_running_loop().call_later(self._resume_seconds, self._abandon)

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _abandon(self) -> None:
        if not self._log.has_readers:
            self.stop(CLIENT_LEFT)

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()
