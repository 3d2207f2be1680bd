"""Messages: the tree that a chat is. A question follows an answer or begins the chat, an answer follows a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Protocol

from gateway.domain.accounts import Principal
from gateway.domain.ask import Citation, Role, Turn
from gateway.domain.chats.chats import Chats
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.search import Library
from gateway.domain.strict_json import JsonValue
from gateway.errors import not_an_answer
from shared.errors import not_found
from shared.paging import PageTokens, page_size


class MessageState(StrEnum):
    """Where a message is. Questions are complete from the beginning, answers are STREAMING until they end."""

    STREAMING = "STREAMING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Feedback:
    rating: Rating
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a question was put to, kept so that it can be answered again.

    Attributes:
        collections: names or ids; empty: the assistant's, or all.
        filter: as the caller wrote it; None: none.
        literal: whether conditions in the text are words like others.
        language: of the answer; empty: the question's.
    """

    collections: Sequence[str] = ()
    filter: Mapping[str, JsonValue] | None = None
    literal: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A citation as it is kept.

    Attributes:
        available: whether the passage can still be read; when not, everything that the document said of itself is empty.
    """

    marker: int
    passage_id: str
    document_id: str
    document_name: str
    page: int | None
    uri: str
    quote: str
    start: int
    end: int
    available: bool = True

    @classmethod
    def of(cls, citation: Citation) -> Evidence:
        passage, quote = citation.passage, citation.quote
        return cls(
            marker=quote.marker,
            passage_id=passage.passage_id,
            document_id=passage.document_id,
            document_name=passage.document_name,
            page=passage.page,
            uri=passage.uri,
            quote=quote.quote,
            start=quote.start,
            end=quote.end,
        )

    def withdrawn(self) -> Evidence:
        return replace(self, document_name="", page=None, uri="", quote="", start=0, end=0, available=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an answer.

    Attributes:
        hits: ids of the passages that it could rest on, best first.
        finish_reason: why the model ended, of an answer that is COMPLETE.
        reason: stable code of why an answer FAILED or was STOPPED; empty otherwise.
    """

    state: MessageState
    text: str = ""
    model: str = ""
    citations: Sequence[Evidence] = ()
    hits: Sequence[str] = ()
    answered: bool = False
    finish_reason: str = ""
    reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Outcome):
    """A question or an answer.

    Attributes:
        parent_id: the message before it; None for a question that begins the chat.
        ordinal: grows from message to message; a parent's is smaller.
        model: of a question the one that it asked for, of an answer the one that wrote it.
        trace_id: under which every service logged the making of an answer.
    """

    message_id: str
    chat_id: str
    parent_id: str | None
    ordinal: int
    role: Role
    scope: Scope
    trace_id: str
    feedback: Feedback | None
    create_time: datetime
    end_time: datetime | None


class MessageTree(Protocol):
    """Where messages are read. What ``principal`` may not read is not there for them."""

    async def get(self, principal: Principal, chat_id: str, message_id: str) -> Message | None: ...

    async def list(self, principal: Principal, chat_id: str, after: int, count: int) -> Sequence[Message]:
        """The whole tree in the order in which it grew, after the ordinal."""
        ...

    async def branch(self, principal: Principal, chat_id: str, leaf_id: str, after: int, count: int) -> Sequence[Message]:
        """From the first question to ``leaf_id``, after the ordinal."""
        ...

    async def rate(self, principal: Principal, chat_id: str, message_id: str, feedback: Feedback) -> Message | None: ...


class Messages:
    """Shows the messages of chats, with the evidence that the reader may still see."""

    def __init__(self, tree: MessageTree, chats: Chats, library: Library, tokens: PageTokens) -> None:
        self._tree = tree
        self._chats = chats
        self._library = library
        self._tokens = tokens

    async def list(self, principal: Principal, chat_id: str, page: PageRequest, leaf_id: str = "") -> Listing[Message]:
        """The whole tree, or the branch that ends with ``leaf_id``; parents always come before children.

        Raises:
            AppError: CHAT_NOT_FOUND or MESSAGE_NOT_FOUND.
        """
        await self._chats.get(principal, chat_id)
        query = {"list": "messages", "organisation": principal.organisation_id, "chat": chat_id, "leaf": leaf_id}
        size = page_size(page.size)
        position = self._tokens.decode(query, page.token)
        after = int(position[0]) if position else 0
        if leaf_id:
            await self._stored(principal, chat_id, leaf_id)
            rows = await self._tree.branch(principal, chat_id, leaf_id, after, size + 1)
        else:
            rows = await self._tree.list(principal, chat_id, after, size + 1)
        token = self._tokens.encode(query, (str(rows[size - 1].ordinal),)) if len(rows) > size else ""
        return Listing(await self.shown(rows[:size]), token)

    async def get(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        """Raises AppError CHAT_NOT_FOUND or MESSAGE_NOT_FOUND."""
        await self._chats.get(principal, chat_id)
        return (await self.shown([await self._stored(principal, chat_id, message_id)]))[0]

    async def rate(self, principal: Principal, chat_id: str, message_id: str, feedback: Feedback) -> Message:
        """Say how good an answer is; said again, it replaces what was said.

        Raises:
            AppError: CHAT_NOT_FOUND, CHAT_READ_ONLY, MESSAGE_NOT_FOUND or NOT_AN_ANSWER.
        """
        await self._chats.get_own(principal, chat_id)
        message = await self._stored(principal, chat_id, message_id)
        if message.role is not Role.ASSISTANT:
            raise not_an_answer(message_id)
        rated = await self._tree.rate(principal, chat_id, message_id, feedback)
        if rated is None:
            raise not_found("message", message_id)
        return (await self.shown([rated]))[0]

    async def shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """``messages`` with only the evidence that the current caller may read now."""
        cited = {one for message in messages for one in (*message.hits, *(each.passage_id for each in message.citations))}
        if not cited:
            return messages
        readable = {passage.passage_id for passage in await self._library.get_visible(sorted(cited))}
        return [
            replace(
                message,
                hits=[one for one in message.hits if one in readable],
                citations=[each if each.passage_id in readable else each.withdrawn() for each in message.citations],
            )
            for message in messages
        ]

    async def _stored(self, principal: Principal, chat_id: str, message_id: str) -> Message:
        message = await self._tree.get(principal, chat_id, message_id)
        if message is None:
            raise not_found("message", message_id)
        return message


def conversation(path: Sequence[Message]) -> Sequence[Turn]:
    """What of a branch the next question may lean on: the exchanges whose answers were not cut short by a failure."""
    turns: list[Turn] = []
    for question, answer in pairwise(path):
        told = answer.state in {MessageState.COMPLETE, MessageState.STOPPED} and answer.text
        if answer.role is Role.ASSISTANT and told:
            turns += [Turn(Role.USER, question.text), Turn(Role.ASSISTANT, answer.text)]
    return turns
