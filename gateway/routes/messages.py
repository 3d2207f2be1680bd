from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, assert_never

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.ask import Citation, Delta
from gateway.domain.chats.messages import Evidence
from gateway.domain.chats.running_answer import AnswerEvent, Begun, Ended, Exchange, Failed, Titled
from gateway.errors import idempotency_key_on_stream
from gateway.http import idempotency
from gateway.http.authentication import CurrentPrincipal
from gateway.http.client_presence import while_connected
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream
from gateway.http.parameters import CurrentPage
from gateway.http.problems import event_data
from gateway.http.services import CurrentServices, Services
from gateway.http.strict_route import StrictRoute
from gateway.schemas.messages import (
    AnswerMetadata,
    FeedbackInput,
    Message,
    MessageCitation,
    MessageExchange,
    MessageInput,
    MessageList,
    RegenerateInput,
    to_message,
)
from gateway.schemas.search import to_hit, to_timings
from shared.request_id import current_request_id

router = APIRouter(prefix="/api/v1/chats/{chat}/messages", tags=["chats"], route_class=StrictRoute)
ChatId = Annotated[str, Path(description="The chat's id.")]
MessageId = Annotated[str, Path(description="The message's id.")]
AnswerId = Annotated[str, Path(description="The answer's id.")]
_STREAM_HELP = (
    "With `stream: true`: server-sent events `metadata` (an AnswerMetadata), `delta` ({text}), `citation`, `title` ({title}), and at the "
    "end `complete` (the answer, a Message) or `error` (a Problem). The header Location says where they can be read again."
)
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": _STREAM_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
}
_NOT_NOW: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "The message is no answer, or one that is still being written."}}
_NO_ANSWER: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "The message is no answer."}}


@router.post(
    "", status_code=201, summary="Say something in a chat, and be answered", response_model=MessageExchange, responses=_EVENTS | _NOT_NOW
)
async def create_message(
    chat: ChatId, body: MessageInput, request: Request, principal: CurrentPrincipal, services: CurrentServices
) -> MessageExchange | Response:
    """Stores the question, then answers it in the light of the conversation before it.

    A client that leaves may come back for the events within seconds, or else ends the work. When the answer fails, the question stays,
    with an answer that says why.
    """
    _refuse_kept_stream(request, stream=body.stream)
    exchange = await services.conversations.exchanges.begin(principal, chat, body.to_question(), current_request_id())
    return await _answered(services, request, exchange, stream=body.stream)


@router.get("", summary="List the messages of a chat")
async def list_messages(
    chat: ChatId,
    page: CurrentPage,
    principal: CurrentPrincipal,
    services: CurrentServices,
    leaf: Annotated[
        str, Query(max_length=100, description="Only the branch that ends with this message, from its first question on.")
    ] = "",
) -> MessageList:
    """The whole tree as it grew, or one branch; parents come before children. Evidence that can no longer be read is not shown."""
    listing = await services.conversations.messages.list(principal, chat, page, leaf)
    return MessageList(items=[to_message(message) for message in listing.items], next_page_token=listing.next_token or None)


@router.get("/{message}", summary="Get a message")
async def get_message(chat: ChatId, message: MessageId, principal: CurrentPrincipal, services: CurrentServices) -> Message:
    return to_message(await services.conversations.messages.get(principal, chat, message))


@router.post(
    "/{message}:regenerate",
    status_code=201,
    summary="Answer a question again",
    response_model=MessageExchange,
    responses=_EVENTS | _NO_ANSWER,
)
async def regenerate_message(
    *, chat: ChatId, message: AnswerId, body: RegenerateInput, request: Request, principal: CurrentPrincipal, services: CurrentServices
) -> MessageExchange | Response:
    """The new answer stands beside the old one, after the same question."""
    _refuse_kept_stream(request, stream=body.stream)
    exchange = await services.conversations.exchanges.begin_again(principal, chat, message, body.model, current_request_id())
    return await _answered(services, request, exchange, stream=body.stream)


@router.post("/{message}:stop", summary="Stop an answer", responses=_NO_ANSWER)
async def stop_message(chat: ChatId, message: AnswerId, principal: CurrentPrincipal, services: CurrentServices) -> Message:
    """It is kept as far as it has come. One that has ended stays as it is."""
    return to_message(await services.conversations.answering.stop(principal, chat, message))


@router.put("/{message}/feedback", summary="Say how good an answer is", responses=_NO_ANSWER)
async def rate_message(
    chat: ChatId, message: AnswerId, body: FeedbackInput, principal: CurrentPrincipal, services: CurrentServices
) -> Message:
    """Said again, it replaces what was said before."""
    return to_message(await services.conversations.messages.rate(principal, chat, message, body.to_feedback()))


@router.get("/{message}/events", summary="Read an answer as it is written", response_class=Response, responses=_EVENTS | _NO_ANSWER)
async def watch_message(
    chat: ChatId,
    message: AnswerId,
    principal: CurrentPrincipal,
    services: CurrentServices,
    last_event_id: Annotated[
        int, Header(alias="Last-Event-ID", ge=0, le=2**31, description="The id of the last event seen; what came before is not sent again.")
    ] = 0,
) -> EventStream:
    """For a client whose connection broke. Of an answer that ended some time ago there is only the last event."""
    events = await services.conversations.answering.watch(principal, chat, message, last_event_id)
    return EventStream(_encoded(events), services.settings.timeouts.heartbeat_seconds)


async def _answered(services: Services, request: Request, exchange: Exchange, *, stream: bool) -> MessageExchange | Response:
    running = services.conversations.answering.begin(exchange)
    if not stream:
        answer = await while_connected(request, services.conversations.answering.answer_of(running))
        return MessageExchange(question=to_message(exchange.question), answer=to_message(answer))
    response = EventStream(_encoded(running.events()), services.settings.timeouts.heartbeat_seconds)
    response.headers["Location"] = f"/api/v1/chats/{exchange.answer.chat_id}/messages/{exchange.answer.message_id}/events"
    return response


async def _encoded(answer: AsyncGenerator[tuple[int, AnswerEvent], None]) -> AsyncGenerator[Event, None]:
    async with aclosing(answer) as events:
        async for number, event in events:
            name, data = _named(event)
            yield Event(name, data, str(number) if number else "")


def _named(event: AnswerEvent) -> tuple[str, str]:
    match event:
        case Begun(exchange, found):
            metadata = AnswerMetadata(
                question=to_message(exchange.question),
                answer=to_message(exchange.answer),
                hits=[to_hit(hit) for hit in found.hits],
                timings_ms=to_timings(dict(found.timings_ms)),
                trace_id=exchange.trace_id,
            )
            return "metadata", metadata.model_dump_json()
        case Delta(text):
            return "delta", json.dumps({"text": text}, ensure_ascii=False)
        case Citation():
            return "citation", MessageCitation.model_validate(Evidence.of(event)).model_dump_json()
        case Titled(title):
            return "title", json.dumps({"title": title}, ensure_ascii=False)
        case Ended(answer):
            return "complete", to_message(answer).model_dump_json()
        case Failed(error):
            return "error", event_data(error)
        case _:
            assert_never(event)


def _refuse_kept_stream(request: Request, *, stream: bool) -> None:
    if stream and idempotency.HEADER in request.headers:
        raise idempotency_key_on_stream()
