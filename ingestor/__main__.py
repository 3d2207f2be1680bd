"""`python -m ingestor`: runs the service until it is asked to stop."""

from ingestor.server import serve
from ingestor.settings import IngestorSettings
from shared.rpc.run import run_service
from shared.settings import load_or_exit

if __name__ == "__main__":
    run_service("ingestor", load_or_exit(IngestorSettings), serve)
