"""Any order of uploads, updates, deletes, crashes, sleeps and repairs ends as a dictionary says it must."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from ingestor.adapters.postgres.database import Database
from ingestor.domain.tasks import Stage
from ingestor.migrations import FOLDER, SCHEMA
from shared.migrations import Migrations
from tests.faults.direct import opened
from tests.faults.failpoints import woven
from tests.faults.machine import LibraryMachine, Steps
from tests.faults.report import tried


@contextmanager
def database_of_its_own(postgres_url: str, runner: asyncio.Runner) -> Iterator[Database]:
    async def create() -> str:
        name = f"machine_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f"CREATE DATABASE {name}")
        # Its processes never crash here: no commit has to wait for the disk.
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await connection.close()
        url = postgres_url.replace("/postgres?", f"/{name}?")
        await Migrations(SCHEMA, FOLDER).upgrade(url)
        return url

    database = opened(runner.run(create()))
    yield runner.run(database.__aenter__())
    runner.run(database.__aexit__(None, None, None))


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("examples", "length"), [(50, 10), pytest.param(500, 15, marks=pytest.mark.slow)])
def test_any_history_leaves_what_callers_were_told(postgres_url: str, request: pytest.FixtureRequest, examples: int, length: int) -> None:
    steps = Steps()
    bounds = settings(
        max_examples=examples,
        stateful_step_count=length,
        deadline=None,
        derandomize=examples == 50,
        suppress_health_check=list(HealthCheck),
    )
    with (
        tried(request, f"{examples} histories of {length} steps", "any", "workers, deliveries and reconcile"),
        asyncio.Runner() as runner,
        database_of_its_own(postgres_url, runner) as database,
        woven(steps.reach, "ingestor"),
    ):

        class History(LibraryMachine):
            def __init__(self) -> None:
                super().__init__(runner, database, steps)

        run_state_machine_as_test(History, settings=bounds)


def test_bytes_that_come_back_sweep_away_what_had_overtaken_them(postgres_url: str) -> None:
    steps = Steps()
    with asyncio.Runner() as runner, database_of_its_own(postgres_url, runner) as database:
        history = LibraryMachine(runner, database, steps)
        history.begin()
        history.send_batch(["ant"], 1)
        history.work_until_quiet()
        history.send_batch(["ant"], 2)
        history.work(Stage.PARSE)
        history.send_batch(["ant"], 1)
        history.teardown()
