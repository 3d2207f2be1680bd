"""`python -m gateway`: runs the service until it is asked to stop."""

import sys

import uvloop

from gateway.server import serve
from gateway.settings import GatewaySettings
from shared.errors import AppError
from shared.rpc.run import run_service
from shared.settings import load_or_exit


def main() -> None:
    settings = load_or_exit(GatewaySettings)
    uvloop.install()
    try:
        run_service("gateway", settings, serve)
    except (AppError, OSError) as error:
        sys.stderr.write(f"The gateway cannot start: {error}\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
