"""Hears Postgres's notifications and wakes whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from ingestor.adapters.postgres.database import APPLICATION, CONNECT_SECONDS
from ingestor.domain.bells import Bells

log = structlog.get_logger()
# A connection that died without a word is noticed by this probe.
PROBE_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
TASK_CHANNEL = "library_task"
JOB_CHANNEL = "library_job"


class Notifications:
    """One connection of its own that listens for ever and comes back after every loss."""

    def __init__(self, database_url: str, *, tasks: Bells, jobs: Bells) -> None:
        self._database_url = database_url
        self._bells = {TASK_CHANNEL: tasks, JOB_CHANNEL: jobs}

    async def run(self) -> None:
        """Listen until cancelled. What was missed while there was no connection is made up for by ringing every bell."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("notifications_lost", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._database_url, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS, server_settings={"application_name": APPLICATION}
        )
        try:
            for channel in self._bells:
                await connection.add_listener(channel, self._hear())
            for bells in self._bells.values():
                bells.ring_all()
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            with suppress(Exception):
                await connection.close(timeout=1)

    def _hear(self) -> Callable[[Any, int, str, object], None]:
        def hear(_connection: Any, _pid: int, channel: str, payload: object) -> None:
            self._bells[channel].ring(str(payload))

        return hear
