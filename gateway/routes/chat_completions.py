from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.ask import Complete, Delta, Question
from gateway.domain.search import Found
from gateway.http.authentication import CurrentPrincipal
from gateway.http.client_presence import while_connected
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream, begun
from gateway.http.problems import openai_event_data
from gateway.http.services import CurrentServices, Services
from gateway.http.strict_route import StrictRoute
from gateway.schemas.chat_completion_input import ChatCompletionInput
from gateway.schemas.chat_completions import ChatCompletion, CompletionWriter
from shared.request_id import current_request_id

router = APIRouter(prefix="/v1", tags=["openai"], route_class=StrictRoute)
_DONE: Final = "[DONE]"
_HELP: Final = (
    "The answer. With `stream: true` it comes as server-sent events without names: chunks, and at the end `[DONE]`, or an `error` in "
    "OpenAI's shape and no `[DONE]`. The last chunk with a choice has the citations, as `annotations` of its delta and as `citations`."
)
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": _HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
    404: {"description": "There is no such assistant, model or collection."},
}


@router.post(
    "/chat/completions", summary="Answer with evidence, as OpenAI's clients ask for it", response_model=ChatCompletion, responses=_RESPONSES
)
async def create_chat_completion(
    body: ChatCompletionInput, request: Request, principal: CurrentPrincipal, services: CurrentServices
) -> ChatCompletion | Response:
    """Answers the last message from the documents, with citations. A client that leaves ends the work."""
    question = await services.questions.prepare_chat(principal, body.to_question(services.settings.ask_passages))
    writer = CompletionWriter(current_request_id(), body.model or question.model, f"{request.base_url}api/v1/passages/")
    if not body.stream:
        return writer.whole(await while_connected(request, services.ask.run(question)))
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    events = await begun(_chunks(services, question, writer, include_usage=include_usage))
    return EventStream(events, services.settings.timeouts.heartbeat_seconds, failure=_failure)


async def _chunks(services: Services, question: Question, writer: CompletionWriter, *, include_usage: bool) -> AsyncGenerator[Event, None]:
    async with aclosing(services.ask.stream(question)) as events:
        async for event in events:
            match event:
                case Found():
                    yield Event("", writer.delta(role="assistant", content=""))
                case Delta(text):
                    yield Event("", writer.delta(content=text))
                case Complete():
                    for chunk in writer.last(event, include_usage=include_usage):
                        yield Event("", chunk)
    yield Event("", _DONE)


def _failure(error: Exception) -> Event:
    return Event("", openai_event_data(error))
