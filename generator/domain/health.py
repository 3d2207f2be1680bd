"""Keeps true what is said of models that run in this process: whether they can still write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.errors import AppError

log = structlog.get_logger()
_LOOK_SECONDS = 0.5
# A model that was asked so often in vain hangs, and only a new process can help.
MAX_FAILED_CHECKS = 3


class ModelCannotStart(Exception):  # noqa: N818  # named for what happened
    """A model could not be loaded; the text says what to change."""

    def __init__(self, model: str, cause: str) -> None:
        super().__init__(f"the model {model!r} cannot be loaded: {cause}")


class ModelLost(Exception):  # noqa: N818  # named for what happened
    """What ran a model is gone or hangs; the process must end, so that its supervisor starts a new one."""


class InProcessModel(Protocol):
    """A language model that lives and dies with this process."""

    async def start(self) -> None:
        """Load it, which may take minutes.

        Raises:
            ModelCannotStart: with what to change.
        """

    @property
    def is_dead(self) -> bool:
        """Whether what runs it is gone for good."""

    @property
    def seconds_since_sign_of_life(self) -> float:
        """Since it last wrote something."""

    async def check(self) -> None:
        """Have it write one token.

        Raises:
            AppError: it can't.
        """


@dataclass(frozen=True, slots=True)
class Watched:
    """A model to keep an eye on: after ``check_seconds`` without a sign of life it is asked for one."""

    name: str
    model: InProcessModel
    check_seconds: float


async def bring_up(models: Sequence[Watched]) -> None:
    """Load ``models`` one after the other, and have each write a token.

    Raises:
        ModelCannotStart: one of them can't.
    """
    for watched in models:
        await watched.model.start()
        try:
            await watched.model.check()
        except AppError as error:
            raise ModelCannotStart(watched.name, f"it was loaded, but wrote nothing: {error.message}") from error


async def watch(models: Sequence[Watched], say_serving: Callable[[bool], Awaitable[None]]) -> None:
    """Say whether all ``models`` work, whenever that changes, until one of them is lost. Never returns.

    Raises:
        ModelLost: after it was said that nothing is served.
    """
    health = [_Health(watched) for watched in models]
    serving = True
    while True:
        await asyncio.gather(*(one.look() for one in health))
        is_lost = any(one.is_lost for one in health)
        now_serving = not is_lost and all(one.failed_checks == 0 for one in health)
        if now_serving != serving:
            serving = now_serving
            await say_serving(serving)
        if is_lost:
            raise ModelLost
        await asyncio.sleep(_LOOK_SECONDS)


class _Health:
    """One model's health as last seen."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self.failed_checks = 0
        self.is_lost = False

    async def look(self) -> None:
        name, model = self._watched.name, self._watched.model
        if model.is_dead:
            self.is_lost = True
            log.critical("model_lost", model=name, cause="engine_died", effect="the process ends so that its supervisor starts a new one")
        elif model.seconds_since_sign_of_life < self._watched.check_seconds:
            self.failed_checks = 0
        else:
            await self._check()

    async def _check(self) -> None:
        name = self._watched.name
        try:
            await self._watched.model.check()
        except AppError as error:
            self.failed_checks += 1
            log.warning("model_check_failed", model=name, reason=error.reason, failed_checks=self.failed_checks)
            if self.failed_checks >= MAX_FAILED_CHECKS:
                self.is_lost = True
                log.critical("model_lost", model=name, cause="hangs", effect="the process ends so that its supervisor starts a new one")
        else:
            self.failed_checks = 0
