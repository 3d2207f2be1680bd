"""`python -m generator`: runs the service until it is asked to stop."""

from generator.server import serve
from generator.settings import GeneratorSettings
from shared.rpc.run import run_service
from shared.settings import load_or_exit

if __name__ == "__main__":
    run_service("generator", load_or_exit(GeneratorSettings), serve)
