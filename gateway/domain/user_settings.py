"""What a user, and an organisation for all of its users, has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.domain.accounts import Principal, Role
from gateway.domain.assistants import Assistants
from gateway.errors import role_required


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """What counts for a user.

    Attributes:
        default_model: answers where neither question, chat nor assistant names one; empty: the generator's default.
        recent_assistants: ids of the last five that chats were begun with, newest first.
        retention_days: chats in which nothing was said for so long are deleted; 0: never.
        organisation_retention_days: the same for every user of the organisation; the shorter of both counts.
    """

    default_model: str = ""
    recent_assistants: Sequence[str] = ()
    retention_days: int = 0
    organisation_retention_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettingsChange:
    """What to change; None keeps it as it is."""

    default_model: str | None = None
    retention_days: int | None = None
    organisation_retention_days: int | None = None


class UserSettingsStore(Protocol):
    """Where settings are kept."""

    async def get(self, principal: Principal) -> UserSettings: ...

    async def update(self, principal: Principal, change: UserSettingsChange) -> UserSettings: ...


class ChosenSettings:
    """Reads and changes the settings of a principal."""

    def __init__(self, store: UserSettingsStore, assistants: Assistants) -> None:
        self._store = store
        self._assistants = assistants

    async def get(self, principal: Principal) -> UserSettings:
        return await self._current(principal, await self._store.get(principal))

    async def update(self, principal: Principal, change: UserSettingsChange) -> UserSettings:
        """Raises AppError ROLE_REQUIRED where a member changes what counts for the organisation."""
        if change.organisation_retention_days is not None and not principal.role.includes(Role.ADMIN):
            raise role_required(Role.ADMIN)
        return await self._current(principal, await self._store.update(principal, change))

    async def _current(self, principal: Principal, settings: UserSettings) -> UserSettings:
        """``settings`` without assistants that are gone or no longer for this user."""
        usable = [each for each in settings.recent_assistants if await self._assistants.find(principal, each)]
        return replace(settings, recent_assistants=usable)
