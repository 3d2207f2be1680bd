"""The supervisor's own process. `lectern up` starts it; it reads the same environment as that command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.settings import LaptopSettings
from deploy.laptop.stack import build_stack, gateway_url
from deploy.laptop.supervisor import Supervisor, only_one
from shared.logging import configure_logging


async def supervise(home: Home, settings: LaptopSettings) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await Supervisor(home, gateway_url(settings), build_stack(home, settings)).run(asked)


def main(home_path: str) -> int:
    configure_logging("supervisor", level="info", style="json")
    os.umask(0o077)
    home = Home(Path(home_path))
    try:
        home.create()
        with only_one(home.lock):
            asyncio.run(supervise(home, LaptopSettings.load()))
    except LaptopError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
