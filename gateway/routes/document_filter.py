from __future__ import annotations

from fastapi import APIRouter

from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.routes.search import UNKNOWN_COLLECTION
from gateway.schemas.document_filter import DocumentFilterInput
from gateway.schemas.documents import DocumentList

router = APIRouter(prefix="/api/v1", tags=["search"], route_class=StrictRoute)


@router.post("/filter", summary="Find documents by their fields and metadata", responses=UNKNOWN_COLLECTION)
async def filter_documents(body: DocumentFilterInput, services: CurrentServices) -> DocumentList:
    """The documents that satisfy all conditions, oldest first, in any state. Uses no vectors and no model."""
    return DocumentList.of(await services.document_filter.page(body.to_conditions(), body.to_page()))
