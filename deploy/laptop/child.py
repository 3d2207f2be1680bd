"""One child process: started so that it cannot outlive its supervisor, known by more than its number, ended with its whole group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

_TETHER = Path(__file__).with_name("tether.py")
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
    ) -> Child:
        """Start ``command`` with both outputs going to ``log``. Call it from the main thread: on Linux the child dies with that thread."""
        process = await asyncio.create_subprocess_exec(
            *tethered(command, stop_signal, os.getpid()),
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
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
            async with asyncio.timeout(grace_seconds):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        self._kill_group()

    def kill(self) -> None:
        """End it as a crash would."""
        self._kill_group()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not through the library, which would first ask how the process stands and so take its exit status away from `wait`.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _kill_group(self) -> None:
        # No new process gets a number that a group still has, so this reaches the child's descendants or nobody.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def tethered(command: Sequence[str], stop_signal: signal.Signals, parent: int, *, user: str = "") -> list[str]:
    """The command line that runs ``command`` so that it gets ``stop_signal`` when the process ``parent`` dies.

    The process that runs it must be a child of ``parent``; with ``user`` it must be root's and becomes that user's.
    """
    return [sys.executable, "-I", "-S", str(_TETHER), str(int(stop_signal)), str(parent), user, *command]


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
