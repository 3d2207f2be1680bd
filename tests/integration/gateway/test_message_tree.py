"""Any order of asking, editing, asking again, failing, stopping, sharing and deleting leaves a tree that is told the same way each time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from gateway.adapters.database import open_pool
from gateway.migrations import FOLDER, SCHEMA
from shared.migrations import Migrations
from shared.postgres import Pool
from tests.integration.gateway.message_tree_machine import MessageTreeMachine

STEPS = 12


@contextmanager
def migrated_pool(postgres_url: str, runner: asyncio.Runner) -> Iterator[Pool]:
    async def create() -> str:
        name = f"tree_{secrets.token_hex(4)}"
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        url = postgres_url.replace("/postgres?", f"/{name}?")
        await Migrations(SCHEMA, FOLDER).upgrade(url)
        return url

    opened = open_pool(runner.run(create()), 4)
    yield runner.run(opened.__aenter__())
    runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("examples", [20, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_any_history_of_a_chat_is_a_tree_that_reads_the_same_each_time(postgres_url: str, examples: int) -> None:
    bounds = settings(
        max_examples=examples, stateful_step_count=STEPS, deadline=None, derandomize=examples == 20, suppress_health_check=list(HealthCheck)
    )
    with asyncio.Runner() as runner, migrated_pool(postgres_url, runner) as pool:

        class History(MessageTreeMachine):
            def __init__(self) -> None:
                super().__init__(runner, pool)

        run_state_machine_as_test(History, settings=bounds)
