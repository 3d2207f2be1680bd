"""``python -m tests.faults.process (ingestor|embedder) FOLDER``: the service as it is shipped, failing where FOLDER's orders say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from tests.faults.failpoints import woven
from tests.faults.orders import Orders


def main(service: str, folder: Path) -> None:
    """Be ``python -m service``."""
    with woven(Orders(folder).carry_out, service):
        sys.argv = [service]
        runpy.run_module(service, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
