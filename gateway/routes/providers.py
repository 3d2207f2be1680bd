from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.http.authentication import CurrentPrincipal
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.providers import Provider, ProviderInput, ProviderList, ProviderPatch

router = APIRouter(prefix="/api/v1/providers", tags=["models"], route_class=StrictRoute)
ProviderKey = Annotated[str, Path(description="Id or name.", examples=["acme"])]


@router.post("", status_code=201, summary="Create a provider of language models", responses={409: {"description": "The name is taken."}})
async def create_provider(body: ProviderInput, principal: CurrentPrincipal, services: CurrentServices) -> Provider:
    """For admins. The organisation can name its models as `provider/model` from now on."""
    return Provider.model_validate(await services.providers.create(principal, body.to_draft()))


@router.get("", summary="List providers, by name")
async def list_providers(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> ProviderList:
    """For admins. Everybody sees the models in /api/v1/llm-models."""
    return ProviderList.of(await services.providers.list(principal, page))


@router.get("/{provider}", summary="Get a provider")
async def get_provider(provider: ProviderKey, principal: CurrentPrincipal, services: CurrentServices) -> Provider:
    """For admins."""
    return Provider.model_validate(await services.providers.get(principal, provider))


@router.patch("/{provider}", summary="Change a provider", responses={409: {"description": "Its key cannot be read."}})
async def update_provider(provider: ProviderKey, body: ProviderPatch, principal: CurrentPrincipal, services: CurrentServices) -> Provider:
    """For admins. A field that is left out stays as it is, and so does the name; the key is sealed anew whatever changes."""
    return Provider.model_validate(await services.providers.update(principal, provider, body.to_change()))


@router.delete("/{provider}", status_code=204, summary="Delete a provider and its key")
async def delete_provider(provider: ProviderKey, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """For admins."""
    await services.providers.delete(principal, provider)
