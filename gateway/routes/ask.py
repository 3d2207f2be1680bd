from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import assert_never

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.ask import Ask, Citation, Complete, Delta, Question
from gateway.domain.search import Found
from gateway.http.authentication import CurrentPrincipal
from gateway.http.client_presence import while_connected
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream, begun
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.routes.search import UNKNOWN_COLLECTION
from gateway.schemas.ask import Answer, AskInput, to_answer, to_citation
from gateway.schemas.search import to_result
from shared.request_id import current_request_id

router = APIRouter(prefix="/api/v1", tags=["ask"], route_class=StrictRoute)
_STREAM_HELP = (
    "The answer. With `stream: true` it comes as server-sent events: `metadata` (the hits), `delta` ({text}), `citation`, and at the end "
    "`complete` (the whole answer) or `error` (a Problem). Comments keep the connection awake; the stream never ends silently."
)


@router.post(
    "/ask",
    summary="Answer a question, with evidence",
    response_model=Answer,
    responses=UNKNOWN_COLLECTION | {200: {"description": _STREAM_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def ask(body: AskInput, request: Request, principal: CurrentPrincipal, services: CurrentServices) -> Answer | Response:
    """Searches, then answers from what was found and cites it word for word. A client that leaves ends the work."""
    question = await services.questions.prepare(principal, body.to_question(services.settings.ask_passages), body.assistant)
    if not body.stream:
        return to_answer(await while_connected(request, services.ask.run(question)), current_request_id())
    events = await begun(_events(services.ask, question, current_request_id()))
    return EventStream(events, services.settings.timeouts.heartbeat_seconds)


async def _events(ask: Ask, question: Question, trace_id: str) -> AsyncGenerator[Event, None]:
    async with aclosing(ask.stream(question)) as events:
        async for event in events:
            match event:
                case Found():
                    yield Event("metadata", to_result(event, trace_id).model_dump_json())
                case Delta(text):
                    yield Event("delta", json.dumps({"text": text}, ensure_ascii=False))
                case Citation():
                    yield Event("citation", to_citation(event).model_dump_json())
                case Complete():
                    yield Event("complete", to_answer(event, trace_id).model_dump_json())
                case _:
                    assert_never(event)
