from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.domain.collections import CollectionChange, CollectionSettings
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.collections import Collection, CollectionDeleted, CollectionInput, CollectionList, CollectionPatch

router = APIRouter(prefix="/api/v1/collections", tags=["collections"], route_class=StrictRoute)
CollectionKey = Annotated[str, Path(description="Id or name.", examples=["handbook"])]


@router.post("", status_code=201, summary="Create a collection", responses={409: {"description": "The name is taken."}})
async def create_collection(body: CollectionInput, services: CurrentServices) -> Collection:
    settings = CollectionSettings(body.settings.passage_tokens)
    return Collection.model_validate(await services.collections.create(body.name, body.description, body.metadata, settings))


@router.get("", summary="List collections, by name")
async def list_collections(page: CurrentPage, services: CurrentServices) -> CollectionList:
    return CollectionList.of(await services.collections.list(page))


@router.get("/{collection}", summary="Get a collection")
async def get_collection(collection: CollectionKey, services: CurrentServices) -> Collection:
    return Collection.model_validate(await services.collections.get(collection))


@router.patch("/{collection}", summary="Change a collection", responses={409: {"description": "The new name is taken."}})
async def update_collection(collection: CollectionKey, body: CollectionPatch, services: CurrentServices) -> Collection:
    """A field that is left out stays as it is; `{}` clears metadata."""
    settings = CollectionSettings(body.settings.passage_tokens) if body.settings else None
    change = CollectionChange(body.name, body.description, body.metadata, settings)
    return Collection.model_validate(await services.collections.update(collection, change))


@router.delete("/{collection}", summary="Delete a collection and its documents")
async def delete_collection(collection: CollectionKey, services: CurrentServices) -> CollectionDeleted:
    """Invisible at once; a job removes vectors and files."""
    return CollectionDeleted.model_validate(await services.collections.delete(collection))
