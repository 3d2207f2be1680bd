"""Organisations, their API keys and what a key may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.api_keys import KeyText, new_key, parse_key
from gateway.domain.listing import Listing, PageRequest
from gateway.errors import role_required
from shared.errors import not_found
from shared.paging import PageTokens, page_size

DEFAULT_ORGANISATION = "default"


class Role(StrEnum):
    """What a key may do; each includes those before it.

    A member uses the library of its organisation, an admin also manages its keys, an operator also manages organisations.
    """

    MEMBER = "member"
    ADMIN = "admin"
    OPERATOR = "operator"

    def includes(self, other: Role) -> bool:
        order = tuple(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who has authenticated."""

    organisation_id: str
    api_key_id: str
    role: Role

    @property
    def user_id(self) -> str:
        """Whose chats, folders and settings these are: a key stands for its holder."""
        return self.api_key_id


@dataclass(frozen=True, slots=True)
class Organisation:
    organisation_id: str
    name: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be shown of a key. ``last_used_time`` may be a minute old."""

    api_key_id: str
    organisation_id: str
    name: str
    prefix: str
    role: Role
    create_time: datetime
    last_used_time: datetime | None
    expire_time: datetime | None
    revoke_time: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made: the only time that its text can be read."""

    api_key: ApiKey
    text: KeyText


Position = tuple[str, ...]


class AccountStore(Protocol):
    """Where organisations and keys are kept. Lists are oldest first and return one row more than fits when there are more."""

    async def create_organisation(self, name: str, key: KeyText) -> tuple[Organisation, ApiKey]:
        """An organisation and its first admin key.

        Raises:
            AppError: ORGANISATION_EXISTS.
        """
        ...

    async def create_first_organisation(self, name: str, key: KeyText) -> Organisation | None:
        """An organisation with an operator key; None, and nothing done, when there is any organisation."""
        ...

    async def get_organisation(self, organisation_id: str) -> Organisation | None: ...

    async def list_organisations(self, after: Position | None, count: int) -> Sequence[Organisation]: ...

    async def create_api_key(self, organisation_id: str, name: str, role: Role, key: KeyText, expire_time: datetime | None) -> ApiKey: ...

    async def list_api_keys(self, organisation_id: str, after: Position | None, count: int) -> Sequence[ApiKey]: ...

    async def get_api_key(self, organisation_id: str, api_key_id: str) -> ApiKey | None: ...

    async def revoke_api_key(self, organisation_id: str, api_key_id: str) -> None:
        """Refuse the key from now on; nothing changes when it was revoked before.

        Raises:
            AppError: LAST_ADMIN_KEY when nobody could manage the organisation afterwards.
        """
        ...


class KeyCache(Protocol):
    """Remembers keys that were accepted."""

    def forget(self, prefix: str) -> None: ...


class Accounts:
    """Manages organisations and keys on behalf of a principal."""

    def __init__(self, store: AccountStore, cache: KeyCache, tokens: PageTokens) -> None:
        self._store = store
        self._cache = cache
        self._tokens = tokens

    async def bootstrap(self, key_text: str) -> Organisation | None:
        """Create the first organisation with ``key_text`` as its operator key; None when there is one already."""
        key = parse_key(key_text)
        assert key is not None, "the settings have checked it"
        return await self._store.create_first_organisation(DEFAULT_ORGANISATION, key)

    async def create_organisation(self, principal: Principal, name: str) -> tuple[Organisation, NewApiKey]:
        _require(principal, Role.OPERATOR)
        key = new_key()
        organisation, api_key = await self._store.create_organisation(name, key)
        return organisation, NewApiKey(api_key, key)

    async def get_organisation(self, principal: Principal, organisation_id: str) -> Organisation:
        allowed = principal.role is Role.OPERATOR or organisation_id == principal.organisation_id
        organisation = await self._store.get_organisation(organisation_id) if allowed else None
        if organisation is None:
            raise not_found("organisation", organisation_id)
        return organisation

    async def list_organisations(self, principal: Principal, page: PageRequest) -> Listing[Organisation]:
        """Every organisation for an operator, their own for others."""
        if principal.role is not Role.OPERATOR:
            return Listing([await self.get_organisation(principal, principal.organisation_id)], "")
        query = {"list": "organisations"}
        size = page_size(page.size)
        rows = await self._store.list_organisations(self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.create_time.isoformat(), last.organisation_id)) if last else ""
        return Listing(rows[:size], token)

    async def create_api_key(self, principal: Principal, name: str, role: Role, expire_time: datetime | None) -> NewApiKey:
        _require(principal, Role.ADMIN)
        _require(principal, role)
        key = new_key()
        api_key = await self._store.create_api_key(principal.organisation_id, name, role, key, expire_time)
        return NewApiKey(api_key, key)

    async def list_api_keys(self, principal: Principal, page: PageRequest) -> Listing[ApiKey]:
        _require(principal, Role.ADMIN)
        query = {"list": "api_keys", "organisation": principal.organisation_id}
        size = page_size(page.size)
        rows = await self._store.list_api_keys(principal.organisation_id, self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = self._tokens.encode(query, (last.create_time.isoformat(), last.api_key_id)) if last else ""
        return Listing(rows[:size], token)

    async def revoke_api_key(self, principal: Principal, api_key_id: str) -> None:
        _require(principal, Role.ADMIN)
        api_key = await self._store.get_api_key(principal.organisation_id, api_key_id)
        if api_key is None:
            raise not_found("api key", api_key_id)
        _require(principal, api_key.role)
        await self._store.revoke_api_key(principal.organisation_id, api_key_id)
        self._cache.forget(api_key.prefix)


def _require(principal: Principal, role: Role) -> None:
    if not principal.role.includes(role):
        raise role_required(role.value)
