"""Answers in chats: written in the background, read by whoever may, stored before their last event is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, Protocol

import structlog

from gateway.domain.accounts import Principal
from gateway.domain.ask import Ask, Role
from gateway.domain.chats.chats import Chats
from gateway.domain.chats.messages import Message, Messages, MessageState, Outcome
from gateway.domain.chats.running_answer import STOPPED_BY_USER, AnswerEvent, Begun, Ended, Exchange, Failed, RunningAnswer
from gateway.domain.chats.titles import ChatTitles
from gateway.domain.search import Found
from gateway.errors import answer_failed, gateway_stopping, internal, not_an_answer
from shared.errors import AppError, not_found

log = structlog.get_logger()
# An answer whose process has not renewed it for so long is lost; the process renews three times in it.
LEASE_SECONDS: Final = 15.0
# How often one looks for the end of an answer that another process writes.
LOOK_SECONDS: Final = 0.5


class AnswerStore(Protocol):
    """Where answers are kept while they are written, and after."""

    async def end(self, principal: Principal, message_id: str, outcome: Outcome) -> Message | None:
        """Store what became of an answer; None when it is not STREAMING any more, or is gone."""
        ...

    async def renew(self, message_ids: Sequence[str], lease_seconds: float) -> Mapping[str, bool]:
        """Say that they are still being written. Those that are still wanted, each with whether somebody has asked to stop it."""
        ...

    async def want_stop(self, principal: Principal, chat_id: str, message_id: str) -> None:
        """Ask the process that writes an answer to stop."""
        ...

    async def fail_lost(self) -> int:
        """Make every answer FAILED whose process is gone; how many there were."""
        ...


class Answering:
    """Writes answers, of which any number run at once."""

    def __init__(
        self, store: AnswerStore, chats: Chats, messages: Messages, ask: Ask, titles: ChatTitles, *, resume_seconds: float
    ) -> None:
        """Answers go on for ``resume_seconds`` without a reader; their events can be read for as long after their end."""
        self._store = store
        self._chats = chats
        self._messages = messages
        self._ask = ask
        self._titles = titles
        self._resume_seconds = resume_seconds
        self._running: dict[str, RunningAnswer] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Renew what is written, and find what was lost. Leaving ends every answer."""
        renewing = asyncio.create_task(self._renew_for_ever())
        try:
            yield
        finally:
            self.fail_all()
            await asyncio.gather(*self._ending)
            await self._titles.close()
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    def fail_all(self) -> None:
        """End every answer, because the gateway is about to."""
        for running in self._running.values():
            running.fail(gateway_stopping())

    def begin(self, exchange: Exchange) -> RunningAnswer:
        """Write the answer of ``exchange`` in the background."""
        running = RunningAnswer(exchange, self._resume_seconds)
        self._running[exchange.answer.message_id] = running
        running.begin(self._write(running))
        ending = asyncio.create_task(self._see_to_the_end(running))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return running

    async def answer_of(self, running: RunningAnswer) -> Message:
        """The answer once it has ended; who stops waiting is a reader who leaves.

        Raises:
            AppError: what it failed with; its metadata names the message.
        """
        async with aclosing(running.events()) as events:
            async for _, event in events:
                if isinstance(event, Ended):
                    return event.answer
                if isinstance(event, Failed):
                    raise event.error
        raise AssertionError("events end with Ended or Failed")

    async def watch(self, principal: Principal, chat_id: str, message_id: str, after: int) -> AsyncGenerator[tuple[int, AnswerEvent], None]:
        """The events of an answer after number ``after``; of one that is no longer in memory only the last, under number 0.

        Raises:
            AppError: CHAT_NOT_FOUND, CHAT_READ_ONLY, MESSAGE_NOT_FOUND or NOT_AN_ANSWER, before there is any event.
        """
        await self._own_answer(principal, chat_id, message_id)
        running = self._running.get(message_id)
        return running.events(after) if running else self._last_event(principal, chat_id, message_id)

    async def stop(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        """End an answer where it is; one that has ended stays as it is.

        Raises:
            AppError: CHAT_NOT_FOUND, CHAT_READ_ONLY, MESSAGE_NOT_FOUND or NOT_AN_ANSWER.
        """
        message = await self._own_answer(principal, chat_id, message_id)
        if message.state is not MessageState.STREAMING:
            return message
        if running := self._running.get(message_id):
            running.stop(STOPPED_BY_USER)
            await running.over()
        else:
            await self._store.want_stop(principal, chat_id, message_id)
        return await self._ended(principal, chat_id, message_id)

    async def delete_chat(self, principal: Principal, chat_id: str) -> None:
        """Delete a chat, and end what is written in it; other processes notice within seconds.

        Raises:
            AppError: CHAT_NOT_FOUND or CHAT_READ_ONLY.
        """
        await self._chats.delete(principal, chat_id)
        for running in self._running.values():
            if running.exchange.answer.chat_id == chat_id:
                running.fail(not_found("chat", chat_id))

    async def _own_answer(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        await self._chats.get_own(principal, chat_id)
        message = await self._messages.get(principal, chat_id, message_id)
        if message.role is not Role.ASSISTANT:
            raise not_an_answer(message_id)
        return message

    async def _last_event(self, principal: Principal, chat_id: str, message_id: str) -> AsyncGenerator[tuple[int, AnswerEvent], None]:
        message = await self._ended(principal, chat_id, message_id)
        failed = message.state is MessageState.FAILED
        yield 0, Failed(answer_failed(message_id, message.reason)) if failed else Ended(message)

    async def _ended(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        """The answer when it has ended, in whichever process. It does: a process that is gone renews nothing."""
        while True:
            message = await self._messages.get(principal, chat_id, message_id)
            if message.state is not MessageState.STREAMING:
                return message
            await asyncio.sleep(LOOK_SECONDS)

    async def _write(self, running: RunningAnswer) -> None:
        async with aclosing(self._ask.stream(running.exchange.asked)) as events:
            async for event in events:
                shown = running.draft.add(event)
                if isinstance(shown, Found):
                    # Its timings grow until the end; the event is what was known now.
                    running.tell(Begun(running.exchange, replace(shown, timings_ms=dict(shown.timings_ms))))
                elif shown is not None:
                    running.tell(shown)
                self._titles.consider(running)

    async def _see_to_the_end(self, running: RunningAnswer) -> None:
        """Store what became of ``running``, and only then say so."""
        outcome, error = await running.written()
        answer = running.exchange.answer
        stored: Message | None = None
        try:
            stored = await self._stored(running, outcome)
        except AppError as failure:
            error = failure
        except Exception:  # whatever it is, those who read are told that it is over
            log.exception("answer_not_stored", message_id=answer.message_id)
            error = internal()
        if error is None and stored is not None:
            running.end(Ended(stored))
        else:
            running.end(Failed(_named(error or not_found("message", answer.message_id), answer)))
        log.info("answer_ended", chat_id=answer.chat_id, message_id=answer.message_id, state=outcome.state, reason=outcome.reason)
        asyncio.get_running_loop().call_later(self._resume_seconds, self._running.pop, answer.message_id, None)

    async def _stored(self, running: RunningAnswer, outcome: Outcome) -> Message | None:
        """Store ``outcome``, patiently: a database that restarts is back within seconds."""
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + LEASE_SECONDS
        while True:
            try:
                return await self._store.end(running.exchange.principal, running.exchange.answer.message_id, outcome)
            except AppError:
                if loop.time() > patience_ends:
                    raise
                await asyncio.sleep(LOOK_SECONDS)

    async def _renew_for_ever(self) -> None:
        while True:
            try:
                await self._renew()
            except AppError as error:
                log.warning("answers_not_renewed", reason=error.reason)
            await asyncio.sleep(LEASE_SECONDS / 3)

    async def _renew(self) -> None:
        written = {message_id: running for message_id, running in self._running.items() if not running.is_over}
        if written:
            wanted = await self._store.renew(list(written), LEASE_SECONDS)
            for message_id, running in written.items():
                if message_id not in wanted:
                    running.fail(not_found("message", message_id))
                elif wanted[message_id]:
                    running.stop(STOPPED_BY_USER)
        if lost := await self._store.fail_lost():
            log.warning("answers_lost", answers=lost)


def _named(error: AppError, answer: Message) -> AppError:
    """``error`` with the ids under which the answer can be read and made again."""
    named = {**error.metadata, "chat_id": answer.chat_id, "message_id": answer.message_id}
    return AppError(error.reason, error.status, error.message, named, error.violations, error.retry_after_seconds)
