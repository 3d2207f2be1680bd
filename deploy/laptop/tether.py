"""Becomes another programme, tied to the process that started it: it gets a signal when that one dies.

``python -I -S tether.py SIGNAL PARENT USER COMMAND…``. It needs no more than the standard library and takes some 20 ms. A programme of its
own, and not a function that runs between fork and exec: the supervisor has threads of gRPC, which a fork would take along half-alive.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    """Give up root for ``user``."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def tie(death_signal: int, parent: int) -> None:
    """Ask for ``death_signal`` when ``parent`` dies; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit("The process that started this one has died.")


def main(death_signal: str, parent: str, user: str, *command: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that runs us in the background ignores it for all its descendants
    if user:
        become(user)
    tie(int(death_signal), int(parent))  # after the change of user, which would undo it
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
