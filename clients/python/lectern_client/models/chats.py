"""Chats, the trees of their messages, and what a user has chosen for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from lectern_client.models.reply import Reply
from lectern_client.models.search import AskDelta, Citation, Hit


class Chat(Reply):
    """A tree of questions and answers.

    Attributes:
        visibility: ``private``, or ``organisation``: everybody in it may read.
        is_own: whether you may write to it.
        update_time: when something was last said or changed in it.
    """

    id: str
    title: str
    folder_id: str | None = None
    assistant_id: str | None = None
    model: str = ""
    visibility: str = "private"
    is_own: bool = True
    create_time: datetime | None = None
    update_time: datetime | None = None


class Folder(Reply):
    """What chats can be put in."""

    id: str
    name: str
    create_time: datetime | None = None
    update_time: datetime | None = None


class UserSettings(Reply):
    """What counts for the caller; chats in which nothing was said for the shorter of both retentions are deleted, 0: never."""

    default_model: str = ""
    recent_assistants: list[str] = Field(default_factory=list)
    retention_days: int = 0
    organisation_retention_days: int = 0


class MessageCitation(Citation):
    """What a statement of an answer rests on; nothing but ids when its document was deleted or replaced since."""

    available: bool = True


class Feedback(Reply):
    """How good an answer was found: ``up`` or ``down``."""

    rating: str
    comment: str = ""


class Message(Reply):
    """A question or an answer.

    Attributes:
        parent_id: the message before it; None for a question that begins the chat.
        state: ``STREAMING`` while an answer is written; then ``COMPLETE``, ``FAILED`` or ``STOPPED``.
        hits: ids of the passages that an answer could rest on, best first.
        reason: stable code of why an answer failed or was stopped.
    """

    id: str
    chat_id: str
    parent_id: str | None = None
    role: Literal["user", "assistant"]
    state: str
    text: str
    model: str = ""
    collections: list[str] = Field(default_factory=list)
    filter: dict[str, Any] | None = None
    citations: list[MessageCitation] = Field(default_factory=list)
    hits: list[str] = Field(default_factory=list)
    answered: bool = False
    finish_reason: str | None = None
    reason: str | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)
    trace_id: str | None = None
    feedback: Feedback | None = None
    create_time: datetime | None = None
    end_time: datetime | None = None


class MessageExchange(Reply):
    """A question with its answer."""

    question: Message
    answer: Message


class AnswerMetadata(MessageExchange):
    """First event of a streamed answer: what was asked, the place of the answer, and what it will rest on."""

    hits: list[Hit]
    timings_ms: dict[str, float] = Field(default_factory=dict)
    trace_id: str = ""


class ChatTitle(Reply):
    """The chat has got a title."""

    title: str


# The last event is the answer as it is kept.
ChatEvent = AnswerMetadata | AskDelta | MessageCitation | ChatTitle | Message
