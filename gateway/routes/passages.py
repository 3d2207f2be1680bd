from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.passages import Passage, PassageInContext

router = APIRouter(prefix="/api/v1/passages", tags=["passages"], route_class=StrictRoute)


@router.get("/{passage}", summary="Get a passage and the text around it")
async def get_passage(
    passage: Annotated[str, Path(description="The passage's id.")],
    services: CurrentServices,
    around: Annotated[int, Query(ge=0, le=20, description="How many passages on each side of it.")] = 0,
    before: Annotated[int | None, Query(ge=0, le=20, description="How many before it, when not `around`.")] = None,
    after: Annotated[int | None, Query(ge=0, le=20, description="How many after it, when not `around`.")] = None,
) -> PassageInContext:
    """Its neighbours are of the same content of the document, in reading order; at the document's ends there are fewer."""
    got = await services.passages.get(passage, before=around if before is None else before, after=around if after is None else after)
    return PassageInContext(
        **Passage.model_validate(got.passage).model_dump(),
        before=[Passage.model_validate(other) for other in got.before],
        after=[Passage.model_validate(other) for other in got.after],
    )
