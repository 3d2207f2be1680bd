"""`python -m generator`: runs the service until it is asked to stop, or loses a model."""

from __future__ import annotations

import os
import sys

from generator.domain.health import ModelCannotStart, ModelLost
from generator.server import serve
from generator.settings import GeneratorSettings
from shared.rpc.run import run_service
from shared.settings import load_or_exit


def main() -> None:
    settings = load_or_exit(GeneratorSettings)
    try:
        run_service("generator", settings, serve)
    except ModelCannotStart as error:
        sys.stderr.write(f"The generator cannot start: {error}.\n")
        raise SystemExit(2) from None
    except ModelLost:
        sys.stdout.flush()
        sys.stderr.flush()
        # An ordinary exit would wait for the engine's threads, and one that hangs never ends.
        os._exit(1)


if __name__ == "__main__":
    main()
