from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.http.authentication import CurrentPrincipal
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.accounts import (
    ApiKeyInput,
    ApiKeyList,
    NewApiKey,
    NewOrganisation,
    Organisation,
    OrganisationInput,
    OrganisationList,
    to_new_api_key,
)

router = APIRouter(prefix="/api/v1", tags=["accounts"], route_class=StrictRoute)


@router.post("/organisations", status_code=201, summary="Create an organisation", responses={409: {"description": "The name is taken."}})
async def create_organisation(body: OrganisationInput, principal: CurrentPrincipal, services: CurrentServices) -> NewOrganisation:
    """For operators. The reply holds the organisation's first admin key, which is shown this once."""
    organisation, made = await services.accounts.create_organisation(principal, body.name)
    return NewOrganisation(**Organisation.model_validate(organisation).model_dump(), api_key=to_new_api_key(made))


@router.get("/organisations", summary="List organisations, oldest first")
async def list_organisations(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> OrganisationList:
    """All for an operator, their own for others."""
    return OrganisationList.of(await services.accounts.list_organisations(principal, page))


@router.get("/organisations/{organisation}", summary="Get an organisation")
async def get_organisation(
    organisation: Annotated[str, Path(description="The organisation's id.")], principal: CurrentPrincipal, services: CurrentServices
) -> Organisation:
    return Organisation.model_validate(await services.accounts.get_organisation(principal, organisation))


@router.post("/api-keys", status_code=201, summary="Create an API key")
async def create_api_key(body: ApiKeyInput, principal: CurrentPrincipal, services: CurrentServices) -> NewApiKey:
    """For admins, in their own organisation. The key is shown this once."""
    return to_new_api_key(await services.accounts.create_api_key(principal, body.name, body.role, body.expire_time))


@router.get("/api-keys", summary="List API keys, oldest first")
async def list_api_keys(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> ApiKeyList:
    """For admins: the keys of their own organisation, revoked ones too."""
    return ApiKeyList.of(await services.accounts.list_api_keys(principal, page))


@router.delete(
    "/api-keys/{api_key}",
    status_code=204,
    summary="Revoke an API key",
    responses={409: {"description": "It is the last key that can manage the organisation."}},
)
async def revoke_api_key(
    api_key: Annotated[str, Path(description="The key's id.")], principal: CurrentPrincipal, services: CurrentServices
) -> None:
    """For admins. Refused at once here, within seconds by other gateway processes."""
    await services.accounts.revoke_api_key(principal, api_key)
