from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from gateway.domain.chats.chats import ChatFilter
from gateway.http.authentication import CurrentPrincipal
from gateway.http.parameters import CurrentPage
from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.chats import (
    Chat,
    ChatInput,
    ChatList,
    ChatPatch,
    Folder,
    FolderInput,
    FolderList,
    UserSettings,
    UserSettingsPatch,
)

router = APIRouter(prefix="/api/v1", tags=["chats"], route_class=StrictRoute)
ChatId = Annotated[str, Path(description="The chat's id.")]
FolderId = Annotated[str, Path(description="The folder's id.")]
_NAMED_NOTHING: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "The assistant or the folder does not exist."}}
_NAME_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "You have a folder of that name."}}


@router.post("/chats", status_code=201, summary="Begin a chat", responses=_NAMED_NOTHING)
async def create_chat(body: ChatInput, principal: CurrentPrincipal, services: CurrentServices) -> Chat:
    """Nothing is said in it yet: `POST …/messages` does."""
    return Chat.model_validate(await services.conversations.chats.create(principal, body.to_draft()))


@router.get("/chats", summary="List chats, newest first")
async def list_chats(
    *,
    page: CurrentPage,
    principal: CurrentPrincipal,
    services: CurrentServices,
    folder: Annotated[str, Query(max_length=100, description="Only chats in this folder, by its id.")] = "",
    text: Annotated[str, Query(max_length=200, description="Only chats with this in their titles, in any case.")] = "",
    shared: Annotated[bool, Query(description="Chats that others of the organisation share, instead of your own.")] = False,
) -> ChatList:
    return ChatList.of(await services.conversations.chats.list(principal, page, ChatFilter(shared, folder, text)))


@router.get("/chats/{chat}", summary="Get a chat")
async def get_chat(chat: ChatId, principal: CurrentPrincipal, services: CurrentServices) -> Chat:
    """Your own, or one that somebody in the organisation shares."""
    return Chat.model_validate(await services.conversations.chats.get(principal, chat))


@router.patch("/chats/{chat}", summary="Change a chat")
async def update_chat(chat: ChatId, body: ChatPatch, principal: CurrentPrincipal, services: CurrentServices) -> Chat:
    """A field that is left out stays as it is; an empty one is cleared."""
    return Chat.model_validate(await services.conversations.chats.update(principal, chat, body.to_change()))


@router.delete("/chats/{chat}", status_code=204, summary="Delete a chat with its messages")
async def delete_chat(chat: ChatId, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Really deleted; an answer that is being written in it ends."""
    await services.conversations.answering.delete_chat(principal, chat)


@router.post("/folders", status_code=201, summary="Create a folder for chats", responses=_NAME_TAKEN)
async def create_folder(body: FolderInput, principal: CurrentPrincipal, services: CurrentServices) -> Folder:
    return Folder.model_validate(await services.conversations.chats.create_folder(principal, body.name))


@router.get("/folders", summary="List folders, by name")
async def list_folders(page: CurrentPage, principal: CurrentPrincipal, services: CurrentServices) -> FolderList:
    return FolderList.of(await services.conversations.chats.list_folders(principal, page))


@router.get("/folders/{folder}", summary="Get a folder")
async def get_folder(folder: FolderId, principal: CurrentPrincipal, services: CurrentServices) -> Folder:
    return Folder.model_validate(await services.conversations.chats.get_folder(principal, folder))


@router.patch("/folders/{folder}", summary="Rename a folder", responses=_NAME_TAKEN)
async def rename_folder(folder: FolderId, body: FolderInput, principal: CurrentPrincipal, services: CurrentServices) -> Folder:
    return Folder.model_validate(await services.conversations.chats.rename_folder(principal, folder, body.name))


@router.delete("/folders/{folder}", status_code=204, summary="Delete a folder")
async def delete_folder(folder: FolderId, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Its chats stay, in no folder."""
    await services.conversations.chats.delete_folder(principal, folder)


@router.get("/settings", summary="Get your settings")
async def get_settings(principal: CurrentPrincipal, services: CurrentServices) -> UserSettings:
    return UserSettings.model_validate(await services.conversations.settings.get(principal))


@router.patch("/settings", summary="Change your settings")
async def update_settings(body: UserSettingsPatch, principal: CurrentPrincipal, services: CurrentServices) -> UserSettings:
    """A field that is left out stays as it is. What is the organisation's is for admins."""
    return UserSettings.model_validate(await services.conversations.settings.update(principal, body.to_change()))
