import uvloop

from gateway.server import serve
from gateway.settings import GatewaySettings
from shared.rpc.run import run_service
from shared.settings import load_or_exit

if __name__ == "__main__":
    uvloop.install()
    run_service("gateway", load_or_exit(GatewaySettings), serve)
