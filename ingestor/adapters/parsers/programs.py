"""Runs the programs of others that a parser needs. They inherit the limits of the child process that runs them, and end with it."""

import ctypes
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1


def installed(*names: str) -> str | None:
    """Return where the first of the programs ``names`` is that is installed; None where none is."""
    return next(filter(None, map(shutil.which, names)), None)


def run(
    command: Sequence[str], *, standard_input: bytes = b"", environment: Mapping[str, str], seconds: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end. Blocking: for as long as the limits of this process let it, and at most ``seconds``.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    return subprocess.run(  # noqa: S603 - the caller names the program
        command,
        input=standard_input,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        timeout=seconds,
        check=False,
        preexec_fn=die_with_parent,
    )


def die_with_parent() -> None:
    """Have the kernel end this process with its parent; elsewhere than on Linux this does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
