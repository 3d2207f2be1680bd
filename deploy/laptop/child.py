"""One child process: started so that it cannot outlive its supervisor, known by more than its number, ended with its whole group."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# Start times are counted from the time of boot, of which two readers may disagree by a second; a number is not used again that soon.
_START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, and no other that later gets its number.

    Attributes:
        pid: its number.
        started: when it started, in seconds since the epoch.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Identify a living process.

        Raises:
            psutil.NoSuchProcess: there is none of that number.
        """
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _START_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class Child:
    """A running child process, the leader of its own process group."""

    def __init__(self, process: asyncio.subprocess.Process, stop_signal: signal.Signals) -> None:
        self._process = process
        self._stop_signal = stop_signal
        try:
            self.identity = ProcessIdentity.of(process.pid)
        except psutil.NoSuchProcess:
            self.identity = ProcessIdentity(process.pid, 0.0)  # it ended at once; `wait` tells how

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: IO[bytes],
        stop_signal: signal.Signals,
        user: str | None = None,
    ) -> Child:
        """Start ``command`` with both outputs going to ``log``. Call it from the main thread: on Linux the child dies with that thread.

        Raises:
            OSError: the programme cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user,
            process_group=0,
            preexec_fn=_tether(stop_signal),  # only calls prctl and signal
        )
        return cls(process, stop_signal)

    async def wait(self) -> int:
        """Wait for its end, then end what is left of its group; the exit status, negative for a signal."""
        status = await self._process.wait()
        self._kill_group()
        return status

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it with its group when it has not within ``grace_seconds``."""
        self._signal(self._stop_signal)
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            await self._process.wait()
        self._kill_group()

    def kill(self) -> None:
        """End it as a crash would."""
        self._kill_group()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _kill_group(self) -> None:
        # No new process gets a number that a group still has, so this reaches the child's descendants or nobody.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _tether(stop_signal: signal.Signals) -> Callable[[], None]:
    """What a child does between fork and exec: ask for ``stop_signal`` when its parent dies, and undo an inherited deafness."""
    parent = os.getpid()

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that runs us in the background ignores it for all our children
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, stop_signal)
            if os.getppid() != parent:
                os._exit(1)  # the parent died before the line above

    return prepare


def open_log(path: Path, *, rotate_bytes: int = 5_000_000, keep: int = 3) -> IO[bytes]:
    """Open a log for appending; one of ``rotate_bytes`` or more is put aside first, and the ``keep`` newest of those are kept."""
    if path.exists() and path.stat().st_size >= rotate_bytes:
        for number in range(keep - 1, 0, -1):
            older = path.with_suffix(f".log.{number}")
            if older.exists():
                older.replace(path.with_suffix(f".log.{number + 1}"))
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def last_lines(path: Path, count: int, *, window_bytes: int = 64_000) -> list[str]:
    """The last ``count`` lines of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - window_bytes))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
