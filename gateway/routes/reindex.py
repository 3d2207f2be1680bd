from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.responses import Response

from gateway.domain.reindex import Rebuild
from gateway.http.authentication import CurrentPrincipal
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream, begun
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.reindex import IndexRebuild, ReindexInput

router = APIRouter(prefix="/api/v1", tags=["index"], route_class=StrictRoute)
_EVENTS_HELP = "Events `progress`, each an IndexRebuild; then `complete` with the last one, or `error` with a Problem."


@router.post(
    "/reindex",
    summary="Rebuild the whole index",
    response_class=Response,
    responses={
        200: {"model": IndexRebuild, "description": _EVENTS_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        409: {"description": "A rebuild is running already."},
    },
)
async def reindex(body: ReindexInput, principal: CurrentPrincipal, services: CurrentServices) -> EventStream:
    """For operators. Builds a new index from the documents of every organisation and puts it in the place of the one that answers.

    Searches go on meanwhile. The rebuild goes on when the client leaves; `follow` shows how far it is.
    """
    events = await begun(_events(services.reindexing.run(principal, follow=body.follow)))
    return EventStream(events, services.settings.timeouts.heartbeat_seconds, until=services.stopping)


async def _events(rebuilds: AsyncGenerator[Rebuild, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(rebuilds):
        async for rebuild in rebuilds:
            name = "complete" if rebuild.state.ended else "progress"
            yield Event(name, IndexRebuild.model_validate(rebuild).model_dump_json())
