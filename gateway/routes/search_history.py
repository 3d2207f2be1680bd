from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.http.authentication import CurrentPrincipal
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.search_history import PastSearchList

router = APIRouter(prefix="/api/v1/search-history", tags=["search"], route_class=StrictRoute)


@router.get("", summary="List your searches, newest first")
async def list_past_searches(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> PastSearchList:
    """Kept for a time and up to a number that the server sets. Searches with `"history": false` are not kept, nor are very long ones."""
    return PastSearchList.of(await services.search_history.list(principal, page))


@router.delete("", status_code=204, summary="Forget all your searches")
async def clear_search_history(principal: CurrentPrincipal, services: CurrentServices) -> None:
    """None that was made before this is ever seen again."""
    await services.search_history.clear(principal)


@router.delete("/{search}", status_code=204, summary="Forget a search")
async def delete_past_search(
    search: Annotated[str, Path(description="The search's id.")], principal: CurrentPrincipal, services: CurrentServices
) -> None:
    await services.search_history.delete(principal, search)
