"""Rebuilding the whole vector index, as the gateway knows it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.accounts import Principal, Role
from gateway.errors import role_required


class RebuildState(StrEnum):
    BUILDING = "BUILDING"
    SWITCHING = "SWITCHING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        return self in (RebuildState.SUCCEEDED, RebuildState.FAILED)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild of the index.

    Attributes:
        walk: how often the library was walked through, this time included.
        done: passages compared in this walk, of about ``total``.
        embedded: passages written whose text went through the model.
        reused: passages written whose vector was taken over.
        reason: why it failed, or what it waits for.
    """

    rebuild_id: str
    state: RebuildState
    walk: int
    done: int
    total: int
    embedded: int
    reused: int
    reason: str
    message: str
    create_time: datetime


class IndexRebuilds(Protocol):
    """The rebuilds of the one index of all organisations."""

    async def start(self) -> None:
        """Begin a rebuild.

        Raises:
            AppError: REBUILD_RUNNING.
        """
        ...

    def watch(self) -> AsyncGenerator[Rebuild, None]:
        """The newest rebuild, again whenever it has moved on, until it has ended."""
        ...


class Reindexing:
    """Lets operators rebuild the index."""

    def __init__(self, rebuilds: IndexRebuilds) -> None:
        self._rebuilds = rebuilds

    async def run(self, principal: Principal, *, follow: bool) -> AsyncGenerator[Rebuild, None]:
        """Begin a rebuild, or with ``follow`` only look at the newest; how far it is until it has ended.

        Raises:
            AppError: ROLE_REQUIRED for others than operators, REBUILD_RUNNING, REBUILD_NOT_FOUND.
        """
        if not principal.role.includes(Role.OPERATOR):
            raise role_required(Role.OPERATOR.value)
        if not follow:
            await self._rebuilds.start()
        async with aclosing(self._rebuilds.watch()) as rebuilds:
            async for rebuild in rebuilds:
                yield rebuild
