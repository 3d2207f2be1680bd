"""The schema ``accounts``: its versions, and how a database is brought from one to another."""

from __future__ import annotations

from pathlib import Path

SCHEMA = "accounts"
# The newest version in `versions/`, without loading Alembic; the gateway refuses a database that is behind it.
HEAD = "0006"
FOLDER = Path(__file__).parent
UPGRADE_COMMAND = "python -m gateway.migrations upgrade"
