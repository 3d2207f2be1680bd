"""Providers: endpoints of language models that an organisation brings, with their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import structlog

from gateway.domain.accounts import Position, Principal, Role
from gateway.domain.ask import Endpoint
from gateway.domain.listing import Listing, PageRequest
from gateway.errors import role_required
from shared.errors import AppError, FieldViolation, Status, not_found
from shared.paging import MAX_PAGE_SIZE, PageTokens, page_size

log = structlog.get_logger()
# A hint to a short key would say too much of it.
_MIN_HINTED_KEY_CHARS: Final = 16
_HINT_CHARS: Final = 4


class ProviderKind(StrEnum):
    """Which protocol an endpoint speaks."""

    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A model at a provider; 0 tokens: the generator's default."""

    name: str
    context_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ProviderDraft:
    """A provider as its admin describes it; ``key`` is empty for an endpoint that wants none."""

    name: str
    kind: ProviderKind
    base_url: str
    models: Sequence[ProviderModel]
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ProviderChange:
    """What to change; None keeps a field as it is. The name stays: the provider's models are called by it."""

    base_url: str | None = None
    models: Sequence[ProviderModel] | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """What may be shown of a provider; ``key_hint`` is the end of its key, empty for a short key or none."""

    provider_id: str
    name: str
    kind: ProviderKind
    base_url: str
    models: Sequence[ProviderModel]
    has_key: bool
    key_hint: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a name of a model means to an organisation.

    Attributes:
        name: the name, or the organisation's default where none was given; empty: the generator's default.
        provider: name of the provider that the name begins with; empty: none of the organisation's.
        endpoint: where that provider runs the model; None: it has no such model, or there is no such provider.
    """

    name: str
    provider: str = ""
    endpoint: Endpoint | None = None


class ProviderStore(Protocol):
    """Where providers are kept, their keys sealed."""

    async def create(self, organisation_id: str, draft: ProviderDraft, key_hint: str) -> Provider:
        """Raises AppError PROVIDER_EXISTS."""
        ...

    async def get(self, organisation_id: str, provider: str) -> Provider | None:
        """By id or name."""
        ...

    async def list(self, organisation_id: str, after: Position | None, count: int) -> Sequence[Provider]:
        """By name, after the position (name,)."""
        ...

    async def update(self, organisation_id: str, provider_id: str, change: ProviderChange, key_hint: str | None) -> Provider | None:
        """The provider as it is now; None when it is gone. A key, changed or not, is sealed anew.

        Raises:
            AppError: PROVIDER_KEY_UNREADABLE.
        """
        ...

    async def delete(self, organisation_id: str, provider_id: str) -> None:
        """A default model that it runs is the default no more."""
        ...

    async def choose_model(self, organisation_id: str, name: str) -> ModelChoice:
        """Raises AppError PROVIDER_KEY_UNREADABLE."""
        ...

    async def default_model(self, organisation_id: str) -> str: ...

    async def set_default_model(self, organisation_id: str, name: str) -> None: ...


class Providers:
    """Manages providers on behalf of admins; ``provider`` is an id or a name. Every change is told to the log, without a key."""

    def __init__(self, store: ProviderStore, tokens: PageTokens) -> None:
        self._store = store
        self._tokens = tokens

    async def create(self, principal: Principal, draft: ProviderDraft) -> Provider:
        """Raises AppError ROLE_REQUIRED or PROVIDER_EXISTS."""
        _require_admin(principal)
        made = await self._store.create(principal.organisation_id, draft, _hint(draft.key))
        log.info("provider_created", provider_id=made.provider_id, kind=made.kind.value, has_key=made.has_key)
        return made

    async def get(self, principal: Principal, provider: str) -> Provider:
        """Raises AppError ROLE_REQUIRED or PROVIDER_NOT_FOUND."""
        _require_admin(principal)
        found = await self._store.get(principal.organisation_id, provider)
        if found is None:
            raise not_found("provider", provider)
        return found

    async def list(self, principal: Principal, page: PageRequest) -> Listing[Provider]:
        """By name. Raises AppError ROLE_REQUIRED."""
        _require_admin(principal)
        query = {"list": "providers", "organisation": principal.organisation_id}
        size = page_size(page.size)
        rows = await self._store.list(principal.organisation_id, self._tokens.decode(query, page.token), size + 1)
        last = rows[size - 1] if len(rows) > size else None
        return Listing(rows[:size], self._tokens.encode(query, (last.name,)) if last else "")

    async def update(self, principal: Principal, provider: str, change: ProviderChange) -> Provider:
        """Raises AppError ROLE_REQUIRED, PROVIDER_NOT_FOUND, PROVIDER_KEY_NEEDED or PROVIDER_KEY_UNREADABLE."""
        found = await self.get(principal, provider)
        moves = change.base_url not in {None, found.base_url}
        if moves and found.has_key and change.key is None:
            raise _key_needed()
        key_hint = None if change.key is None else _hint(change.key)
        changed = await self._store.update(principal.organisation_id, found.provider_id, change, key_hint)
        if changed is None:
            raise not_found("provider", provider)
        fields = [name for name in ("base_url", "models", "key") if getattr(change, name) is not None]
        log.info("provider_updated", provider_id=changed.provider_id, fields=fields)
        return changed

    async def delete(self, principal: Principal, provider: str) -> None:
        """Raises AppError ROLE_REQUIRED or PROVIDER_NOT_FOUND."""
        found = await self.get(principal, provider)
        await self._store.delete(principal.organisation_id, found.provider_id)
        log.info("provider_deleted", provider_id=found.provider_id)


async def all_providers(store: ProviderStore, organisation_id: str) -> Sequence[Provider]:
    """The organisation's providers, by name; the first thousand."""
    return await store.list(organisation_id, None, MAX_PAGE_SIZE)


def _require_admin(principal: Principal) -> None:
    if not principal.role.includes(Role.ADMIN):
        raise role_required(Role.ADMIN)


def _hint(key: str) -> str:
    return key[-_HINT_CHARS:] if len(key) >= _MIN_HINTED_KEY_CHARS else ""


def _key_needed() -> AppError:
    message = "A key that is kept is not sent to another address. Give the key together with the new base_url, or an empty one."
    violation = FieldViolation("body.key", message)
    return AppError("PROVIDER_KEY_NEEDED", Status.INVALID_ARGUMENT, message, violations=(violation,))
