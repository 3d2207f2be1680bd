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
    before: Annotated[int, Query(ge=0, le=20, description="How many passages before it.")] = 0,
    after: Annotated[int, Query(ge=0, le=20, description="How many passages after it.")] = 0,
) -> PassageInContext:
    got = await services.passages.get(passage, before=before, after=after)
    return PassageInContext(
        **Passage.model_validate(got.passage).model_dump(),
        before=[Passage.model_validate(other) for other in got.before],
        after=[Passage.model_validate(other) for other in got.after],
    )
