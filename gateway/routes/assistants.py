from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from gateway.http.authentication import CurrentPrincipal
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.assistants import Assistant, AssistantInput, AssistantList, AssistantPatch

router = APIRouter(prefix="/api/v1/assistants", tags=["assistants"], route_class=StrictRoute)
AssistantKey = Annotated[str, Path(description="Id or name.", examples=["onboarding"])]
_NAME_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "The name is taken."}}
_NOT_TO_CHANGE: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "It is built in, or the new name is taken."}}


@router.post("", status_code=201, summary="Create an assistant", responses=_NAME_TAKEN)
async def create_assistant(body: AssistantInput, principal: CurrentPrincipal, services: CurrentServices) -> Assistant:
    """Ask it by its name: `assistant` in /api/v1/ask, `model` in /v1/chat/completions."""
    return Assistant.model_validate(await services.assistants.create(principal, body.to_draft()))


@router.get("", summary="List assistants, by name")
async def list_assistants(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> AssistantList:
    """Those that the key may use, built-in ones too."""
    return AssistantList.of(await services.assistants.list(principal, page))


@router.get("/{assistant}", summary="Get an assistant")
async def get_assistant(assistant: AssistantKey, principal: CurrentPrincipal, services: CurrentServices) -> Assistant:
    return Assistant.model_validate(await services.assistants.get(principal, assistant))


@router.patch("/{assistant}", summary="Change an assistant", responses=_NOT_TO_CHANGE)
async def update_assistant(
    assistant: AssistantKey, body: AssistantPatch, principal: CurrentPrincipal, services: CurrentServices
) -> Assistant:
    """For its owner and for admins. A field that is left out stays as it is."""
    return Assistant.model_validate(await services.assistants.update(principal, assistant, body.to_change()))


@router.delete("/{assistant}", status_code=204, summary="Delete an assistant", responses={409: {"description": "It is built in."}})
async def delete_assistant(assistant: AssistantKey, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """For its owner and for admins."""
    await services.assistants.delete(principal, assistant)
