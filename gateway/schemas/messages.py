from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from gateway.domain.ask import Role
from gateway.domain.chats import messages as domain
from gateway.domain.chats.exchanges import NewQuestion
from gateway.domain.chats.messages import MessageState, Rating
from gateway.schemas.ask import Citation
from gateway.schemas.search import CollectionNames, FilterInput, LiteralInput, QueryText, SearchHit
from gateway.schemas.shapes import OptionalText, Page, RequestBody, Shape, own_id

MessageModel = Annotated[str, Field(max_length=500, description="One of /api/v1/llm-models; empty: the chat's.")]
StreamInput = Annotated[
    bool, Field(description="Answer as server-sent events: `metadata`, `delta`, `citation`, `title`, then `complete` or `error`.")
]


class MessageInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "And how many of them carry over?", "stream": True}]})

    text: QueryText = Field(
        description="A question in any language. Conditions in it, such as `type:pdf`, are read as in a search's query."
    )
    parent: Annotated[
        str | None,
        Field(
            max_length=100,
            description="The answer that it follows; null: it begins the chat. Left out: the newest answer. To edit a question, send the "
            "new one with the parent of the old.",
        ),
    ] = None
    model: MessageModel = ""
    collections: CollectionNames = Field(default_factory=list)
    filter: FilterInput = None
    literal: LiteralInput = False
    language: Annotated[
        str, Field(pattern="^([a-z]{2})?$", description="ISO 639-1 code of the answer's language; empty: the question's.")
    ] = ""
    stream: StreamInput = False

    def to_question(self) -> NewQuestion:
        scope = domain.Scope(self.collections, self.filter, self.literal, self.language)
        return NewQuestion(self.text, scope, self.model, self.parent, follows_newest="parent" not in self.model_fields_set)


class RegenerateInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "qwen3"}]})

    model: MessageModel = ""
    stream: StreamInput = False


class FeedbackInput(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rating": "down", "comment": "That was last year's rule."}]})

    rating: Rating
    comment: Annotated[str, Field(max_length=4000, description="In your words.")] = ""

    def to_feedback(self) -> domain.Feedback:
        return domain.Feedback(self.rating, self.comment)


class Feedback(Shape):
    rating: Rating
    comment: str


class MessageCitation(Citation):
    """A statement's evidence, as long as it can be read."""

    available: bool = Field(
        description="Whether the passage can still be read. When its document was deleted or replaced since, nothing of it is shown."
    )


class Message(Shape):
    """A question or an answer in a chat's tree."""

    id: str = own_id("message_id")
    chat_id: str
    parent_id: str | None = Field(description="The message before it; null for a question that begins the chat.")
    role: Role
    state: MessageState = Field(description="`STREAMING` while an answer is written; then `COMPLETE`, `FAILED` or `STOPPED`.")
    text: str
    model: str = Field(description="Of a question the one asked for, of an answer the one that wrote it.")
    collections: list[str] = Field(description="What a question was put to; empty: the assistant's, or all.")
    filter: dict[str, JsonValue] | None = Field(description="What a question's passages had to satisfy.")
    citations: list[MessageCitation]
    hits: list[str] = Field(description="Ids of the passages that an answer could rest on, best first, as far as they can still be read.")
    answered: bool = Field(description="Whether the passages held an answer; when not, the text says so.")
    finish_reason: OptionalText = Field(description="`STOP`, or `LENGTH` when the answer was cut at its longest.")
    reason: OptionalText = Field(description="Stable code of why an answer failed or was stopped.")
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage.")
    trace_id: OptionalText = Field(description="Every service logged the making of the answer under it.")
    feedback: Feedback | None
    create_time: datetime
    end_time: datetime | None


class MessageList(Page[Message]):
    pass


class MessageExchange(Shape):
    """A question with its answer."""

    question: Message
    answer: Message


class AnswerMetadata(MessageExchange):
    """The first event of a streamed answer: what was asked, the place of the answer, and what it may rest on."""

    hits: list[SearchHit]
    timings_ms: dict[str, float]
    trace_id: str


def to_message(message: domain.Message) -> Message:
    return Message(
        id=message.message_id,
        chat_id=message.chat_id,
        parent_id=message.parent_id,
        role=message.role,
        state=message.state,
        text=message.text,
        model=message.model,
        collections=list(message.scope.collections),
        filter=dict(message.scope.filter) if message.scope.filter is not None else None,
        citations=[MessageCitation.model_validate(citation) for citation in message.citations],
        hits=list(message.hits),
        answered=message.answered,
        finish_reason=message.finish_reason,
        reason=message.reason,
        timings_ms={stage: round(milliseconds, 3) for stage, milliseconds in message.timings_ms.items()},
        trace_id=message.trace_id,
        feedback=Feedback.model_validate(message.feedback) if message.feedback else None,
        create_time=message.create_time,
        end_time=message.end_time,
    )
