"""Assistants: a prompt, collections and a model under a name that questions can be put to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.accounts import Position, Principal, Role
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.organisation_models import OrganisationModels
from gateway.domain.scope import CollectionFinder, resolve
from gateway.errors import role_required
from shared.errors import AppError, Status, not_found
from shared.paging import MAX_PAGE_SIZE, PageTokens, page_size


class Visibility(StrEnum):
    """Who may use an assistant: its owner and the organisation's admins, or everybody in the organisation."""

    PRIVATE = "private"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantDraft:
    """What its maker says of an assistant.

    Attributes:
        prompt: what it adds to the rules of answering.
        avatar: a character or two, or an image as a ``data:`` address.
        starter_messages: questions to begin with.
        collections: ids or names; empty: every collection of the organisation.
        model: empty: the organisation's default.
        language: ISO 639-1 code of its answers; empty: the question's.
    """

    name: str
    description: str = ""
    prompt: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    avatar: str = ""
    starter_messages: Sequence[str] = ()
    collections: Sequence[str] = ()
    model: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantChange:
    """What to change; None keeps a field as it is."""

    name: str | None = None
    description: str | None = None
    prompt: str | None = None
    visibility: Visibility | None = None
    avatar: str | None = None
    starter_messages: Sequence[str] | None = None
    collections: Sequence[str] | None = None
    model: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant(AssistantDraft):
    """An assistant; a built-in one is every organisation's and has no owner."""

    assistant_id: str
    owner_id: str | None
    create_time: datetime
    update_time: datetime

    @property
    def built_in(self) -> bool:
        return self.owner_id is None


class AssistantStore(Protocol):
    """Where assistants are kept. What ``principal`` may not use is not there for them."""

    async def create(self, principal: Principal, draft: AssistantDraft) -> Assistant:
        """Raises AppError ASSISTANT_EXISTS."""
        ...

    async def get(self, principal: Principal, assistant: str) -> Assistant | None:
        """By id or name; by name the organisation's own comes before a built-in one."""
        ...

    async def list(self, principal: Principal, after: Position | None, count: int) -> Sequence[Assistant]:
        """By name, after the position (name, id)."""
        ...

    async def update(self, assistant_id: str, change: AssistantChange) -> Assistant | None:
        """The assistant as it is now; None when it is gone.

        Raises:
            AppError: ASSISTANT_EXISTS.
        """
        ...

    async def delete(self, assistant_id: str) -> None: ...

    async def replace_built_in(self, drafts: Sequence[AssistantDraft]) -> None:
        """Make ``drafts`` the built-in assistants; those whose name stays keep their ids."""
        ...


class Assistants:
    """Manages assistants on behalf of a principal; ``assistant`` is an id or a name."""

    def __init__(self, store: AssistantStore, collections: CollectionFinder, models: OrganisationModels, tokens: PageTokens) -> None:
        self._store = store
        self._collections = collections
        self._models = models
        self._tokens = tokens

    async def create(self, principal: Principal, draft: AssistantDraft) -> Assistant:
        """Raises AppError COLLECTION_NOT_FOUND, MODEL_NOT_FOUND or ASSISTANT_EXISTS."""
        await resolve(self._collections, draft.collections, None)
        await self._models.require(principal, draft.model)
        return await self._store.create(principal, draft)

    async def get(self, principal: Principal, assistant: str) -> Assistant:
        """Raises AppError ASSISTANT_NOT_FOUND."""
        found = await self._store.get(principal, assistant)
        if found is None:
            raise not_found("assistant", assistant)
        return found

    async def find(self, principal: Principal, assistant: str) -> Assistant | None:
        """Like `get`; None when there is none."""
        return await self._store.get(principal, assistant)

    async def list(self, principal: Principal, page: PageRequest) -> Listing[Assistant]:
        """Those that the principal may use, by name."""
        query = {"list": "assistants", "organisation": principal.organisation_id}
        size = page_size(page.size)
        rows = await self._store.list(principal, self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.name, last.assistant_id)) if last else ""
        return Listing(rows[:size], token)

    async def every(self, principal: Principal) -> Sequence[Assistant]:
        """Those that the principal may use, built-in ones before the organisation's own of the same name; the first thousand."""
        found = await self._store.list(principal, None, MAX_PAGE_SIZE)
        return sorted(found, key=lambda each: (each.name, not each.built_in))

    async def update(self, principal: Principal, assistant: str, change: AssistantChange) -> Assistant:
        """The assistant as it is now.

        Raises:
            AppError: ASSISTANT_NOT_FOUND, ASSISTANT_BUILT_IN, ROLE_REQUIRED, COLLECTION_NOT_FOUND, MODEL_NOT_FOUND or ASSISTANT_EXISTS.
        """
        found = await self._own(principal, assistant)
        await resolve(self._collections, change.collections or (), None)
        await self._models.require(principal, change.model or "")
        changed = await self._store.update(found.assistant_id, change)
        if changed is None:
            raise not_found("assistant", assistant)
        return changed

    async def delete(self, principal: Principal, assistant: str) -> None:
        """Raises AppError ASSISTANT_NOT_FOUND, ASSISTANT_BUILT_IN or ROLE_REQUIRED."""
        await self._store.delete((await self._own(principal, assistant)).assistant_id)

    async def _own(self, principal: Principal, assistant: str) -> Assistant:
        """The assistant, when the principal may change it."""
        found = await self.get(principal, assistant)
        if found.built_in:
            message = f"The assistant {found.name!r} is built in and cannot be changed. Make one of your own; it may have the same name."
            raise AppError("ASSISTANT_BUILT_IN", Status.FAILED_PRECONDITION, message)
        if found.owner_id != principal.api_key_id and not principal.role.includes(Role.ADMIN):
            raise role_required(Role.ADMIN)
        return found
