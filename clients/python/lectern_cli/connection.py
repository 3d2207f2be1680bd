"""Which server a command talks to, and as whom."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lectern_cli.errors import NOT_RUNNING, CommandError

if TYPE_CHECKING:
    from lectern_client import AsyncLectern, Lectern

HOME_NAME = ".lectern"
DEFAULT_URL = "http://127.0.0.1:8080"

UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="LECTERN_URL", help="Address of the server; the laptop's own by default.", rich_help_panel="Connection"),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="LECTERN_API_KEY",
        help="API key; the laptop's first key by default.",
        rich_help_panel="Connection",
        show_envvar=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to, and the key to show there."""

    url: str
    api_key: str | None

    def open(self) -> Lectern:
        """A client for a person who waits: a server that is busy is asked again, one that isn't there is not waited for."""
        from lectern_client import Lectern, RetryPolicy

        return Lectern(self.url, self.api_key, retries=RetryPolicy(connect_patience_seconds=0))

    def open_async(self, *, patience_seconds: float) -> AsyncLectern:
        """A client for one event loop, which sends refused calls again for ``patience_seconds``."""
        from lectern_client import AsyncLectern, RetryPolicy

        return AsyncLectern(self.url, self.api_key, retries=RetryPolicy(patience_seconds))


def find_home() -> Path:
    """``LECTERN_HOME``, or the nearest ``.lectern`` here or above, or where one would be made: here."""
    named = os.environ.get("LECTERN_HOME")
    if named:
        return Path(named).expanduser()
    here = Path.cwd()
    return next((folder / HOME_NAME for folder in (here, *here.parents) if (folder / HOME_NAME).is_dir()), here / HOME_NAME)


def resolve(url: str | None, key: str | None) -> Connection:
    """The connection that the options name, completed by the laptop's own.

    Raises:
        CommandError: there is no key to use.
    """
    home = find_home()
    laptop = _laptop_url(home)
    chosen = (url or laptop or DEFAULT_URL).rstrip("/")
    if not chosen.startswith(("http://", "https://")):
        raise CommandError("INVALID_URL", f"{chosen!r} is not an address. It should look like {DEFAULT_URL}.")
    if key is None and (url is None or chosen == laptop):
        key = _admin_key(home)  # shown to nobody but the laptop's own server
    if key is None:
        raise _no_key(url, home)
    return Connection(chosen, key)


def _no_key(url: str | None, home: Path) -> CommandError:
    if url is not None:
        return CommandError("NO_API_KEY", f"There is no key for {url}. Set LECTERN_API_KEY or give --key.")
    message = (
        f"Lectern was never started here: there is no {home}.\nStart it with `lectern up`; for a server elsewhere give --url and --key."
    )
    return CommandError("NOT_RUNNING", message, exit_code=NOT_RUNNING)


def _laptop_url(home: Path) -> str | None:
    try:
        return str(json.loads((home / "supervisor.json").read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _admin_key(home: Path) -> str | None:
    try:
        return (home / "admin.key").read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError("KEY_UNREADABLE", f"Cannot read {home / 'admin.key'}: {error.strerror}. Give --key.") from error
