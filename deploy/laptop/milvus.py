"""The embedded Milvus of a laptop: Milvus Lite in server mode, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

# Its products of one vector with many are too small to share: a second thread doubles their CPU time and gains nothing.
MILVUS_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


def milvus_command(folder: Path, port: int) -> list[str]:
    """The command line that serves the data in ``folder`` on the loopback address."""
    return [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]


class EmbeddedMilvus:
    """One Milvus Lite server over ``folder``: a child process that is gone after `stop`."""

    def __init__(self, folder: Path, port: int, log: IO[bytes]) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self._command = milvus_command(folder, port)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it listens a few seconds later."""
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)  # our own interpreter

    def kill(self) -> None:
        """End the process as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask the process to end, and wait for it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
