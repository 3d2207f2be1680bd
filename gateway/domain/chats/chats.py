"""Chats and the folders that they lie in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from gateway.domain.accounts import Position, Principal
from gateway.domain.assistants import Assistant, Visibility
from gateway.domain.listing import Listing, PageRequest
from gateway.errors import chat_read_only
from shared.errors import AppError, not_found
from shared.paging import PageTokens, page_size

log = structlog.get_logger()
PRUNE_SECONDS: Final = 3600.0
# Deleting this many with their messages takes a fraction of a second and holds its locks no longer.
PRUNE_BATCH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDraft:
    """What its user says of a chat.

    Attributes:
        title: empty: made from the first answer.
        folder_id: None: in no folder.
        assistant_id: who answers in it, for `Chats` also by name; empty: no assistant.
        model: that answers where a question names none; empty: the assistant's, then the user's default.
        visibility: the organisation may read a chat, and only its user may write to it.
    """

    title: str = ""
    folder_id: str | None = None
    assistant_id: str = ""
    model: str = ""
    visibility: Visibility = Visibility.PRIVATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(ChatDraft):
    """A chat; ``update_time`` is when something was last said or changed in it, ``is_own`` whether the reader may write to it."""

    chat_id: str
    is_own: bool
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatChange:
    """What to change; None keeps a field as it is, an empty folder or assistant takes it away."""

    title: str | None = None
    folder_id: str | None = None
    assistant_id: str | None = None
    model: str | None = None
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class ChatFilter:
    """Which chats are wanted.

    Attributes:
        shared: those that others of the organisation share, not one's own.
        folder_id: only those in it; empty: all.
        text: only those with it in their titles, in any case.
    """

    shared: bool = False
    folder_id: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    folder_id: str
    name: str
    create_time: datetime
    update_time: datetime


class ChatStore(Protocol):
    """Where chats and folders are kept. For ``principal`` there are their own, and to read also chats that their organisation shares."""

    async def create(self, principal: Principal, draft: ChatDraft) -> Chat:
        """Raises AppError FOLDER_NOT_FOUND."""
        ...

    async def get(self, principal: Principal, chat_id: str) -> Chat | None: ...

    async def list(self, principal: Principal, wanted: ChatFilter, before: Position | None, count: int) -> Sequence[Chat]:
        """Newest first, before the position (update_time, id)."""
        ...

    async def update(self, principal: Principal, chat_id: str, change: ChatChange) -> Chat | None:
        """The chat as it is now; None when there is none to write to.

        Raises:
            AppError: FOLDER_NOT_FOUND.
        """
        ...

    async def name(self, principal: Principal, chat_id: str, title: str) -> bool:
        """Give a chat without a title this one; whether it got it."""
        ...

    async def delete(self, principal: Principal, chat_id: str) -> bool:
        """Whether there was one to delete."""
        ...

    async def delete_old(self, count: int) -> int:
        """Delete up to ``count`` chats whose user or organisation no longer keeps them; how many there were."""
        ...

    async def create_folder(self, principal: Principal, name: str) -> Folder:
        """Raises AppError FOLDER_EXISTS."""
        ...

    async def get_folder(self, principal: Principal, folder_id: str) -> Folder | None: ...

    async def list_folders(self, principal: Principal, after: Position | None, count: int) -> Sequence[Folder]:
        """By name, after the position (name, id)."""
        ...

    async def rename_folder(self, principal: Principal, folder_id: str, name: str) -> Folder | None:
        """Raises AppError FOLDER_EXISTS."""
        ...

    async def delete_folder(self, principal: Principal, folder_id: str) -> bool: ...


class AssistantFinder(Protocol):
    """Which assistants there are."""

    async def get(self, principal: Principal, assistant: str) -> Assistant:
        """By id or name. Raises AppError ASSISTANT_NOT_FOUND."""
        ...


class RecentAssistants(Protocol):
    """Which assistants a user has chats with."""

    async def note_assistant(self, principal: Principal, assistant_id: str) -> None:
        """Put it before the others; the last of more than five is forgotten."""
        ...


class Chats:
    """Manages a principal's chats and folders."""

    def __init__(self, store: ChatStore, assistants: AssistantFinder, recent: RecentAssistants, tokens: PageTokens) -> None:
        self._store = store
        self._assistants = assistants
        self._recent = recent
        self._tokens = tokens

    async def create(self, principal: Principal, draft: ChatDraft) -> Chat:
        """Raises AppError ASSISTANT_NOT_FOUND or FOLDER_NOT_FOUND."""
        if draft.assistant_id:
            assistant = await self._assistants.get(principal, draft.assistant_id)
            draft = replace(draft, assistant_id=assistant.assistant_id)
            await self._recent.note_assistant(principal, assistant.assistant_id)
        return await self._store.create(principal, draft)

    async def get(self, principal: Principal, chat_id: str) -> Chat:
        """Raises AppError CHAT_NOT_FOUND."""
        chat = await self._store.get(principal, chat_id)
        if chat is None:
            raise not_found("chat", chat_id)
        return chat

    async def get_own(self, principal: Principal, chat_id: str) -> Chat:
        """A chat to write to.

        Raises:
            AppError: CHAT_NOT_FOUND, or CHAT_READ_ONLY for one that somebody else shares.
        """
        chat = await self.get(principal, chat_id)
        if not chat.is_own:
            raise chat_read_only(chat_id)
        return chat

    async def list(self, principal: Principal, page: PageRequest, wanted: ChatFilter) -> Listing[Chat]:
        """Newest first."""
        query = _query(principal, "chats", shared=str(wanted.shared), folder=wanted.folder_id, text=wanted.text)
        size = page_size(page.size)
        rows = await self._store.list(principal, wanted, self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.update_time.isoformat(), last.chat_id)) if last else ""
        return Listing(rows[:size], token)

    async def update(self, principal: Principal, chat_id: str, change: ChatChange) -> Chat:
        """Raises AppError CHAT_NOT_FOUND, CHAT_READ_ONLY, ASSISTANT_NOT_FOUND or FOLDER_NOT_FOUND."""
        await self.get_own(principal, chat_id)
        if change.assistant_id:
            assistant = await self._assistants.get(principal, change.assistant_id)
            change = replace(change, assistant_id=assistant.assistant_id)
        changed = await self._store.update(principal, chat_id, change)
        if changed is None:
            raise not_found("chat", chat_id)
        return changed

    async def delete(self, principal: Principal, chat_id: str) -> None:
        """Delete a chat with its messages. Raises what `get_own` raises."""
        await self.get_own(principal, chat_id)
        await self._store.delete(principal, chat_id)

    async def create_folder(self, principal: Principal, name: str) -> Folder:
        """Raises AppError FOLDER_EXISTS."""
        return await self._store.create_folder(principal, name)

    async def get_folder(self, principal: Principal, folder_id: str) -> Folder:
        """Raises AppError FOLDER_NOT_FOUND."""
        return _found(await self._store.get_folder(principal, folder_id), folder_id)

    async def list_folders(self, principal: Principal, page: PageRequest) -> Listing[Folder]:
        """By name."""
        query = _query(principal, "folders")
        size = page_size(page.size)
        rows = await self._store.list_folders(principal, self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.name, last.folder_id)) if last else ""
        return Listing(rows[:size], token)

    async def rename_folder(self, principal: Principal, folder_id: str, name: str) -> Folder:
        """Raises AppError FOLDER_NOT_FOUND or FOLDER_EXISTS."""
        return _found(await self._store.rename_folder(principal, folder_id, name), folder_id)

    async def delete_folder(self, principal: Principal, folder_id: str) -> None:
        """Delete a folder; its chats stay, in no folder. Raises AppError FOLDER_NOT_FOUND."""
        if not await self._store.delete_folder(principal, folder_id):
            raise not_found("folder", folder_id)

    async def prune(self) -> int:
        """Delete every chat that is kept no longer; how many there were."""
        total = 0
        while deleted := await self._store.delete_old(PRUNE_BATCH):
            total += deleted
        if total:
            log.info("old_chats_deleted", chats=total)
        return total

    async def prune_for_ever(self) -> None:
        """`prune` again and again, until cancelled."""
        while True:
            with suppress(AppError):
                await self.prune()
            await asyncio.sleep(PRUNE_SECONDS)


def _found(folder: Folder | None, folder_id: str) -> Folder:
    if folder is None:
        raise not_found("folder", folder_id)
    return folder


def _query(principal: Principal, name: str, **wanted: str) -> dict[str, str]:
    return {"list": name, "organisation": principal.organisation_id, "user": principal.user_id, **wanted}
