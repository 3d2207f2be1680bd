"""Errors that callers may see."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import AppError, Status


async def test_an_error_that_ends_a_group_of_tasks_can_be_told_apart_and_logged() -> None:
    async def fail() -> None:
        raise AppError("BROKEN", Status.INTERNAL, "It broke.")

    with pytest.raises(BaseExceptionGroup) as raised:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(fail())
    assert set(raised.value.exceptions) == {AppError("BROKEN", Status.INTERNAL, "It broke.")}
