"""The supervisor: runs the whole stack until it is asked to stop, and reports how each part stands."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import structlog

from deploy.laptop.child import ProcessIdentity
from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.report import StackReport
from deploy.laptop.runner import Pace, ServiceRunner, ServiceSpec

log = structlog.get_logger()
HEARTBEAT_SECONDS = 2.0


class Supervisor:
    """Runs ``specs``, each once what it needs is ready."""

    def __init__(self, home: Home, url: str, specs: Sequence[ServiceSpec], *, pace: Pace | None = None) -> None:
        """Build it; nothing runs before `run`.

        Args:
            home: where the report and the logs go.
            url: the gateway's address, for the report.
            specs: the parts in the order in which they start; each needs only earlier ones.
            pace: how fast parts are probed and started again.
        """
        self._report_path = home.report
        self._runners = {
            spec.name: ServiceRunner(spec, home.log(spec.name), pace=pace or Pace(), changed=self._write_report) for spec in specs
        }
        for runner in self._runners.values():
            runner.needs = [self._runners[name] for name in runner.spec.needs]
        self._report = StackReport(
            home=str(home.path),
            url=url,
            supervisor=ProcessIdentity.of(os.getpid()),
            services={spec.name: self._runners[spec.name].report for spec in specs if spec.probe is not None},
            tasks={spec.name: self._runners[spec.name].report for spec in specs if spec.probe is None},
        )

    async def run(self, asked_to_stop: asyncio.Event) -> None:
        """Run everything until ``asked_to_stop``, then stop everything."""
        log.info("supervisor_started", home=self._report.home)
        for runner in self._runners.values():
            runner.start()
        try:
            while not asked_to_stop.is_set():
                self._write_report()
                await _within(asked_to_stop, HEARTBEAT_SECONDS)
        finally:
            await self._stop()
        log.info("supervisor_stopped")

    async def _stop(self) -> None:
        """Stop the parts, each after those that need it."""
        left = list(self._runners.values())
        while left:
            needed = set(chain.from_iterable(runner.spec.needs for runner in left))
            leaves = [runner for runner in left if runner.spec.name not in needed]
            await asyncio.gather(*(runner.stop() for runner in leaves))
            left = [runner for runner in left if runner not in leaves]

    def _write_report(self) -> None:
        try:
            self._report.write(self._report_path)
        except OSError as error:  # a full disk must not take the stack down
            log.warning("report_not_written", error=str(error))


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold ``lock``, which no two processes can; the system lets go of it when its holder dies.

    Raises:
        LaptopError: another process holds it.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Another supervisor runs over {lock.parent}. `lectern status` shows it; `lectern down` stops it."
            raise LaptopError("ALREADY_RUNNING", message) from None
        yield
