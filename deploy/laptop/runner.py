"""Keeps one service running: starts it when what it needs is ready, watches it, and starts it again when it ends or hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from deploy.laptop.child import Child, last_lines, open_log
from deploy.laptop.probes import PROBE_SECONDS, NoAnswerError, NotReadyError, Probe, within
from deploy.laptop.report import ServiceReport, State

log = structlog.get_logger()
# A service that refuses its settings ends with this status, and would do so again.
SETTINGS_ARE_WRONG = 2
_LOG_TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """How one service, or one task that ends by itself, is run.

    Attributes:
        name: as users say it.
        command: the command line, without secrets: every user of the machine can read it.
        environment: the whole environment of the process.
        probe: tells whether it is ready; None makes it a task, which is done when it ends with status 0.
        needs: names of the services and tasks that must be ready before it starts.
        url: where it can be reached.
        stop_signal: asks it to end.
        stop_seconds: how long it may take to end before it is killed.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    probe: Probe | None
    needs: tuple[str, ...] = ()
    url: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a runner acts.

    Attributes:
        starting_probe_seconds: pause between probes until the first success.
        probe_seconds: pause between probes after it.
        first_restart_seconds: pause after the first death; doubled after each further one.
        slowest_restart_seconds: the longest pause.
        loop_deaths: deaths in a row that make a crash loop.
        stable_seconds: a service that was ready for so long has its deaths forgotten.
        silent_seconds: a service that was ready, runs and does not answer for so long is killed and started again.
    """

    starting_probe_seconds: float = 0.2
    probe_seconds: float = 2.0
    first_restart_seconds: float = 0.25
    slowest_restart_seconds: float = 30.0
    loop_deaths: int = 4
    stable_seconds: float = 60.0
    silent_seconds: float = 60.0

    def pause_after(self, deaths: int) -> float:
        """Seconds to wait before the start that follows the ``deaths``-th death in a row."""
        return min(self.first_restart_seconds * 2.0 ** min(deaths - 1, 20), self.slowest_restart_seconds)


class ServiceRunner:
    """Runs one service until `stop`. Every change shows in `report`, and ``changed`` is called after it."""

    def __init__(self, spec: ServiceSpec, log_path: Path, *, pace: Pace, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.report = ServiceReport(log=str(log_path), url=spec.url)
        self.needs: Sequence[ServiceRunner] = ()
        self._log_path = log_path
        self._pace = pace
        self._changed = changed
        self._child: Child | None = None
        self._deaths = 0
        self._well = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run it, in the background."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it for good, gracefully if it lets itself be ended."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._child is not None:
            self._set(State.STOPPING, "Finishing what it has begun.")
            await self._child.stop(self.spec.stop_seconds)
            self._child = None
        self._set(State.STOPPED)

    async def _run(self) -> None:
        while True:
            await self._wait_for_needs()
            problem = await self._run_once()
            if problem is None:
                self._set(State.DONE)
                return
            self._deaths += 1
            pause = self._pace.pause_after(self._deaths)
            hopeless = problem.permanent or self._deaths >= self._pace.loop_deaths
            if problem.permanent:
                pause = self._pace.slowest_restart_seconds
            log.warning("service_ended", service_name=self.spec.name, problem=problem.text, deaths=self._deaths, pause_seconds=pause)
            self._report_death(problem, pause, hopeless=hopeless)
            await asyncio.sleep(pause)
            self.report.restarts += 1

    async def _wait_for_needs(self) -> None:
        while missing := [need for need in self.needs if not need.report.well]:
            if self.report.state is not State.FAILED:
                self._set(State.WAITING, f"Waits for {', '.join(need.spec.name for need in missing)}.")
            await missing[0]._well.wait()  # noqa: SLF001  # of its own class

    async def _run_once(self) -> _Problem | None:
        """One life of the process; None when a task has done its work."""
        began = time.monotonic()
        try:
            await self._spawn()
        except OSError as error:
            return _Problem(f"It cannot be started: {error}")
        assert self._child is not None
        ended = asyncio.create_task(self._child.wait())
        watching = asyncio.create_task(self._watch(began))
        try:
            await asyncio.wait({ended, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._child.kill()
                await ended
                return _Problem(watching.result())
        finally:
            watching.cancel()
            ended.cancel()
            await asyncio.wait({watching, ended})
        self._child = None
        return self._judge(ended.result(), began)

    async def _spawn(self) -> None:
        if self.report.state is not State.FAILED:
            self._set(State.STARTING, "Starting.")
        with open_log(self._log_path) as output:
            self._child = await Child.spawn(
                self.spec.command,
                environment=self.spec.environment,
                log=output,
                stop_signal=self.spec.stop_signal,
            )
        self.report.process = self._child.identity
        self._changed()

    def _judge(self, status: int, began: float) -> _Problem | None:
        if self.spec.probe is None and status == 0:
            self.report.ready_seconds = time.monotonic() - began
            return None
        if status < 0:
            cause = f"It was killed by {signal.Signals(-status).name}"
            return _Problem(f"{cause}; the machine may be short of memory." if status == -signal.SIGKILL else f"{cause}.")
        return _Problem(f"It ended with status {status}.", permanent=status == SETTINGS_ARE_WRONG)

    async def _watch(self, began: float) -> str:
        """Probe for ever; returns only when the process hangs, saying so."""
        if self.spec.probe is None:
            await asyncio.Event().wait()
        assert self.spec.probe is not None
        ready_since: float | None = None
        answered = time.monotonic()
        while True:
            try:
                await within(self.spec.probe, PROBE_SECONDS)
            except (NotReadyError, NoAnswerError) as problem:
                if isinstance(problem, NotReadyError):
                    answered = time.monotonic()
                if ready_since is not None and time.monotonic() - answered > self._pace.silent_seconds:
                    return f"It had not answered for {self._pace.silent_seconds:g} s and was killed."
                self._report_unready(problem, was_ready=ready_since is not None)
            else:
                answered = time.monotonic()
                ready_since = ready_since or answered
                if self.report.ready_seconds is None or self.report.state is not State.READY:
                    self.report.ready_seconds = self.report.ready_seconds or answered - began
                    self._set(State.READY)
                if answered - ready_since > self._pace.stable_seconds:
                    self._deaths = 0
            await asyncio.sleep(self._pace.probe_seconds if ready_since else self._pace.starting_probe_seconds)

    def _report_unready(self, problem: NotReadyError | NoAnswerError, *, was_ready: bool) -> None:
        if was_ready:
            self._set(State.ILL, str(problem))
            return
        message = str(problem) if isinstance(problem, NotReadyError) else "Starting; it does not answer yet."
        if self.report.state is State.STARTING and self.report.message != message:
            self._set(State.STARTING, message)

    def _report_death(self, problem: _Problem, pause: float, *, hopeless: bool) -> None:
        self._child = None
        self.report.process = None
        self.report.ready_seconds = None
        if not hopeless:
            self._set(State.RESTARTING, problem.text)
            return
        self.report.log_tail = last_lines(self._log_path, _LOG_TAIL_LINES)
        fix = (
            "Its settings are wrong: mend what its log names, then `lectern down` and `lectern up`."
            if problem.permanent
            else f"`lectern logs {self.spec.name}` shows why; `lectern doctor` checks this machine."
        )
        again = f"The next try comes in {pause:g} s."
        self._set(State.FAILED, f"{problem.text} That was time {self._deaths} in a row. {fix} {again}")

    def _set(self, state: State, message: str = "") -> None:
        if state is not self.report.state:
            self.report.since = time.time()
        self.report.state, self.report.message = state, message
        if state in {State.READY, State.DONE, State.STOPPED}:
            self.report.log_tail = []
        if state in {State.STOPPED, State.DONE}:
            self.report.process = None
        if self.report.well:
            self._well.set()
        else:
            self._well.clear()
        self._changed()


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a life of a process ended; ``permanent``: the next will end the same way."""

    text: str
    permanent: bool = False
