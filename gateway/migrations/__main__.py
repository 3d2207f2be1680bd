"""``python -m gateway.migrations upgrade | downgrade REVISION | current``: its own step, never part of the gateway's start."""

from gateway.migrations import FOLDER, SCHEMA
from gateway.settings import GatewaySettings
from shared.migrations import Migrations, run_command
from shared.settings import load_or_exit


def database_url() -> str:
    return load_or_exit(GatewaySettings).database_url.get_secret_value()


if __name__ == "__main__":
    raise SystemExit(run_command(Migrations(SCHEMA, FOLDER), database_url))
