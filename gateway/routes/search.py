from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from gateway.http.authentication import CurrentPrincipal
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.search import SearchInput, SearchResult, to_result
from shared.request_id import current_request_id

UNKNOWN_COLLECTION: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "A collection that was named does not exist."}}
router = APIRouter(prefix="/api/v1", tags=["search"], route_class=StrictRoute)


@router.post("/search", summary="Find passages by meaning and by words", responses=UNKNOWN_COLLECTION)
async def search(body: SearchInput, principal: CurrentPrincipal, services: CurrentServices) -> SearchResult:
    """The best passages of the organisation's documents, or of some collections, that satisfy the filter."""
    result = to_result(await services.search.run(body.to_query()), current_request_id(), grouped=body.group)
    if body.history:
        services.search_history.record(principal, body.to_made_search(result))
    return result
