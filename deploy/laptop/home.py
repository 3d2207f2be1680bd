"""The folder that holds everything of one laptop stack: data, logs and keys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from deploy.laptop.errors import LaptopError


class Home:
    """Paths below ``LECTERN_HOME``. Nothing is written before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.postgres = self.path / "postgres"
        self.milvus = self.path / "milvus"
        self.objects = self.path / "objects"
        self.logs = self.path / "logs"
        self.admin_key = self.path / "admin.key"
        self.internal_key = self.path / "internal.key"
        self.lock = self.path / "supervisor.lock"
        self.report = self.path / "supervisor.json"

    def create(self) -> None:
        """Make the folders and both keys; what exists is left as it is, apart from keys that others can read.

        Raises:
            LaptopError: the folder cannot be written.
        """
        try:
            for folder in (self.path, self.logs, self.objects):
                folder.mkdir(parents=True, exist_ok=True)
            self.logs.chmod(0o700)
            self.objects.chmod(0o700)
            _keep_key(self.admin_key, f"lk_{secrets.token_hex(6)}_{secrets.token_hex(24)}")
            _keep_key(self.internal_key, secrets.token_hex(32))
        except OSError as error:
            raise LaptopError(
                "HOME_NOT_WRITABLE",
                f"Cannot write {error.filename or self.path}: {error.strerror}. Choose a folder of yours with LECTERN_HOME.",
            ) from error

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"


def _keep_key(path: Path, fresh: str) -> None:
    """Write ``fresh`` where there is no key yet; readable by its owner alone from its first moment."""
    if path.exists() and path.read_text().strip():
        path.chmod(0o600)
        return
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(fresh + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
