"""Titles of chats, made from the first exchange."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from gateway.domain.ask import Question
from gateway.domain.chats.chats import ChatStore
from gateway.domain.chats.running_answer import RunningAnswer, Titled
from shared.errors import AppError

log = structlog.get_logger()
MAX_TITLE_CHARS: Final = 80
# By then an answer has said what it is about.
ENOUGH_CHARS: Final = 300


class TitleSuggestions(Protocol):
    """Who names conversations."""

    async def suggest_title(self, question: Question, answer: str) -> str:
        """One short line in the question's language."""
        ...


class ChatTitles:
    """Names chats beside their first answers.

    `complete` is an answer's last event, so a title comes before it or not as an event at all. It is therefore asked for as soon as
    the answer has said enough, and nobody waits for it: one that is late is stored, and seen when the chat is next read.
    """

    def __init__(self, suggestions: TitleSuggestions, chats: ChatStore) -> None:
        self._suggestions = suggestions
        self._chats = chats
        self._naming: dict[str, asyncio.Task[None]] = {}

    def consider(self, running: RunningAnswer) -> None:
        """Ask for a title, when ``running`` is to name its chat and has said enough."""
        exchange, draft = running.exchange, running.draft
        if not exchange.names_chat or exchange.question.chat_id in self._naming:
            return
        if draft.chars >= ENOUGH_CHARS or draft.complete:
            naming = asyncio.create_task(self._name(running, "".join(draft.text)))
            self._naming[exchange.question.chat_id] = naming
            naming.add_done_callback(lambda _: self._naming.pop(exchange.question.chat_id))

    async def close(self) -> None:
        """Give up what is not named yet; the next answer names it."""
        naming = list(self._naming.values())
        for task in naming:
            task.cancel()
        await asyncio.gather(*naming, return_exceptions=True)

    async def _name(self, running: RunningAnswer, answer: str) -> None:
        exchange = running.exchange
        try:
            title = shortened(await self._suggestions.suggest_title(exchange.asked, answer))
        except AppError as error:
            log.info("title_not_suggested", chat_id=exchange.question.chat_id, reason=error.reason)
            title = ""
        title = title or shortened(exchange.question.text)
        try:
            if await self._chats.name(exchange.principal, exchange.question.chat_id, title):
                running.tell(Titled(title))
        except AppError as error:
            log.warning("title_not_stored", chat_id=exchange.question.chat_id, reason=error.reason)


def shortened(text: str) -> str:
    """``text`` on one line, cut after a word where it is too long."""
    line = " ".join(text.replace("\0", "").split())
    if len(line) <= MAX_TITLE_CHARS:
        return line
    cut = line[: MAX_TITLE_CHARS - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"
