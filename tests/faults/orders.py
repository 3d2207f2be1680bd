"""Orders to fail: written by the harness, carried out once by whichever process comes by the step first."""

from __future__ import annotations

import asyncio
import os
import signal
from enum import StrEnum
from pathlib import Path


class Mode(StrEnum):
    """How a step fails."""

    KILL = "kill"
    HANG = "hang"
    STALL = "stall"
    ERROR = "error"


class InjectedError(Exception):
    """What a step raises in mode `Mode.ERROR`: an error that no code expects."""


class Orders:
    """A folder of orders, shared by the harness and the processes that it starts."""

    def __init__(self, folder: Path) -> None:
        self._given = folder / "given"
        self._carried_out = folder / "carried_out"
        self._given_up = folder / "given_up"
        for place in (self._given, self._carried_out, self._given_up):
            place.mkdir(parents=True, exist_ok=True)

    def give(self, failpoint: str, mode: Mode) -> None:
        """Let the next process that reaches ``failpoint`` fail there."""
        for past in (self._carried_out, self._given_up):
            (past / failpoint).unlink(missing_ok=True)
        (self._given / failpoint).write_text(mode)

    def withdraw_all(self) -> None:
        """Nothing fails any more."""
        for order in self._given.iterdir():
            order.unlink()

    def process_that_failed_at(self, failpoint: str) -> int | None:
        """The number of the process that has carried out the order for ``failpoint``; None before that."""
        try:
            return int((self._carried_out / failpoint).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def was_given_up(self, failpoint: str) -> bool:
        """Whether the step that stalls at ``failpoint`` was cancelled."""
        return (self._given_up / failpoint).exists()

    async def carry_out(self, failpoint: str) -> None:
        """Fail as ordered, if there is an order for ``failpoint``. Mode `Mode.STALL` waits until it is cancelled.

        Raises:
            InjectedError: the order says so.
        """
        taken = self._given / f"{failpoint}.{os.getpid()}"
        try:
            # Of several processes that come by at once, one gets it.
            (self._given / failpoint).rename(taken)
        except FileNotFoundError:
            return
        mode = Mode(taken.read_text())
        taken.unlink()
        (self._carried_out / failpoint).write_text(str(os.getpid()))
        if mode is Mode.ERROR:
            raise InjectedError(failpoint)
        if mode is Mode.STALL:
            try:
                await asyncio.Event().wait()
            finally:
                (self._given_up / failpoint).touch()
        os.kill(os.getpid(), signal.SIGKILL if mode is Mode.KILL else signal.SIGSTOP)
