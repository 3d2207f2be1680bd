"""``python -m gateway.migrations upgrade | downgrade [REVISION] | current``."""

from __future__ import annotations

import argparse
import asyncio
import sys

import asyncpg

from gateway.migrations import runner
from gateway.settings import GatewaySettings
from shared.settings import load_or_exit


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.migrations", description=f"Migrates the schema {runner.SCHEMA!r}.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade", help="bring the schema up to a revision").add_argument("revision", nargs="?", default="head")
    commands.add_parser("downgrade", help="take the schema back to a revision").add_argument("revision", help="`base` for none")
    commands.add_parser("current", help="print the schema's revision")
    arguments = parser.parse_args()
    url = load_or_exit(GatewaySettings).database_url.get_secret_value()
    try:
        revision = asyncio.run(_run(arguments, url))
    except (OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"The database could not be migrated, and nothing was changed: {error}\n")
        return 1
    sys.stdout.write(f"{revision or 'none'}\n")
    return 0


async def _run(arguments: argparse.Namespace, url: str) -> str | None:
    match arguments.command:
        case "upgrade":
            return await runner.upgrade(url, arguments.revision)
        case "downgrade":
            return await runner.downgrade(url, arguments.revision)
        case _:
            return await runner.current(url)


if __name__ == "__main__":
    raise SystemExit(main())
