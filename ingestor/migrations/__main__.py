"""``python -m ingestor.migrations upgrade | downgrade REVISION | current``: its own step, never part of a service's start."""

from ingestor.migrations import FOLDER, SCHEMA
from ingestor.settings import IngestorSettings
from shared.migrations import Migrations, run_command
from shared.settings import load_or_exit


def database_url() -> str:
    return load_or_exit(IngestorSettings).database_url.get_secret_value()


if __name__ == "__main__":
    raise SystemExit(run_command(Migrations(SCHEMA, FOLDER), database_url))
