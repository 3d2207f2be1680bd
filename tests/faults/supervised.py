"""A process that is started again whenever it ends, as every deployment does it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_RESTART_SECONDS = 0.2
_STOP_SECONDS = 10.0


class Supervised:
    """One service's process, kept running between `start` and `stop`."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", *command]
        self._environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}", **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending = False
        self.starts = 0

    @property
    def pid(self) -> int:
        """Number of the present process."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    async def start(self) -> None:
        """Start it; it serves a few seconds later."""
        self._ending = False
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Ask it to end, and kill it if it does not, frozen or not."""
        self._ending = True
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if self._keeper is not None:
            await asyncio.wait({self._keeper}, timeout=_STOP_SECONDS)
            await self.kill()

    async def kill(self) -> None:
        """End it at once, and do not start it again."""
        self._ending = True
        self.signal(signal.SIGKILL)
        if self._keeper is not None:
            await asyncio.wait({self._keeper}, timeout=_STOP_SECONDS)
            self._keeper = None

    def signal(self, number: signal.Signals) -> None:
        """Send ``number`` to the present process; nothing happens when it has ended already."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:]) if self.log.exists() else ""

    async def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        self.starts += 1

    async def _keep(self) -> None:
        assert self._process is not None
        await self._process.wait()
        while not self._ending:
            await asyncio.sleep(_RESTART_SECONDS)
            await self._spawn()
            if self._ending:
                self.signal(signal.SIGKILL)
            await self._process.wait()
