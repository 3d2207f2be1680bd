from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.responses import Response

from gateway.domain import reconcile as domain
from gateway.http.event_stream import MEDIA_TYPE, Event, EventStream, begun
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.reconcile import ReconcileInput, ReconcileReport

router = APIRouter(prefix="/api/v1", tags=["index"], route_class=StrictRoute)
_EVENTS_HELP = "Events `progress`, each a ReconcileReport; then `complete` with the last one, or `error` with a Problem."


@router.post(
    "/reconcile",
    summary="Compare the index with the library",
    response_class=Response,
    responses={200: {"model": ReconcileReport, "description": _EVENTS_HELP, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def reconcile(body: ReconcileInput, services: CurrentServices) -> EventStream:
    """Finds, and with `repair` mends, where the vector index differs from your organisation's documents; searches go on meanwhile.

    A client that leaves ends a comparison; documents that were queued to be indexed again still are.
    """
    events = await begun(_events(services.reconciler.run(repair=body.repair)))
    return EventStream(events, services.settings.timeouts.heartbeat_seconds, until=services.stopping)


async def _events(reports: AsyncGenerator[domain.ReconcileReport, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(reports):
        async for report in reports:
            name = "complete" if report.stage is domain.ReconcileStage.ENDED else "progress"
            yield Event(name, ReconcileReport.model_validate(report).model_dump_json())
