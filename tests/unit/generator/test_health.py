"""What is said of models that run in the process, and when the process must end."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from generator.domain.health import MAX_FAILED_CHECKS, ModelCannotStart, ModelLost, Watched, bring_up, watch
from shared.errors import AppError, Status

HANGS = AppError("MODEL_TIMEOUT", Status.DEADLINE_EXCEEDED, "It did not send a first token.")


class Scripted:
    """A model whose checks go as written down; with nothing left they succeed."""

    def __init__(self, *checks: AppError | None, is_dead: bool = False, quiet_seconds: float = 100) -> None:
        self.checks = list(checks)
        self.is_dead = is_dead
        self.seconds_since_sign_of_life = quiet_seconds
        self.checked = 0
        self.started = False
        self.was_checked = asyncio.Event()

    async def start(self) -> None:
        self.started = True

    async def check(self) -> None:
        self.checked += 1
        self.was_checked.set()
        if self.checks and (error := self.checks.pop(0)) is not None:
            raise error


class Said:
    """What was said of the service, and an event for each change."""

    def __init__(self) -> None:
        self.states: list[bool] = []
        self.changed = asyncio.Event()

    async def __call__(self, serving: bool) -> None:
        self.states.append(serving)
        self.changed.set()


def watching(said: Said, *models: Scripted) -> asyncio.Task[None]:
    names = map("model-{}".format, itertools.count())
    return asyncio.create_task(watch([Watched(name, model, check_seconds=1) for name, model in zip(names, models, strict=False)], said))


async def test_a_model_whose_engine_is_gone_ends_everything_after_health_was_turned_off() -> None:
    said = Said()
    with pytest.raises(ModelLost):
        await asyncio.wait_for(watching(said, Scripted(), Scripted(is_dead=True)), timeout=20)
    assert said.states == [False]


async def test_a_model_that_hangs_is_ill_at_once_and_lost_after_some_more_questions() -> None:
    said, model = Said(), Scripted(*[HANGS] * 10)
    with pytest.raises(ModelLost):
        await asyncio.wait_for(watching(said, model), timeout=20)
    assert said.states == [False]
    assert model.checked == MAX_FAILED_CHECKS


async def test_a_model_that_answers_again_is_well_again() -> None:
    said, model = Said(), Scripted(HANGS, None)
    task = watching(said, model)
    while len(said.states) < 2:
        said.changed.clear()
        await asyncio.wait_for(said.changed.wait(), timeout=20)
    assert said.states == [False, True]
    task.cancel()


async def test_a_model_that_writes_for_its_callers_is_not_asked() -> None:
    busy, quiet = Scripted(HANGS, quiet_seconds=0), Scripted()
    said = Said()
    task = watching(said, busy, quiet)
    for _ in range(2):
        await asyncio.wait_for(quiet.was_checked.wait(), timeout=20)
        quiet.was_checked.clear()
    assert busy.checked == 0
    assert said.states == []
    task.cancel()


async def test_a_model_that_was_loaded_but_writes_nothing_cannot_start() -> None:
    model = Scripted(HANGS)
    with pytest.raises(ModelCannotStart, match="the model 'm' cannot be loaded: it was loaded, but wrote nothing"):
        await bring_up([Watched("m", model, check_seconds=1)])
    assert model.started
