"""Whether the stack's ports are free, and who has those that aren't."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import psutil

from deploy.laptop.errors import LaptopError
from deploy.laptop.settings import HIGHEST_PORT, port_name

HOST = "127.0.0.1"


def check_ports(ports: Mapping[str, int]) -> None:
    """Make sure that every port can be listened on.

    Raises:
        LaptopError: some are taken; all of them are listed, with their holder where it can be known and the setting to change.
    """
    taken = {service: port for service, port in ports.items() if not is_free(port)}
    if taken:
        lines = "\n".join(f"  {_describe(service, port, set(ports.values()))}" for service, port in taken.items())
        raise LaptopError("PORT_TAKEN", f"Ports are taken, so nothing was started:\n{lines}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an earlier server that linger in TIME_WAIT don't count; a listening socket does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on ``port``, in words."""
    try:
        listening = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ]
        pid = next((pid for pid in listening if pid is not None), None)
        if pid is not None:
            return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        pass  # the system keeps other users' processes to itself
    return "another process"


def _describe(service: str, port: int, spoken_for: set[int]) -> str:
    free = next((candidate for candidate in range(port + 1, HIGHEST_PORT + 1) if candidate not in spoken_for and is_free(candidate)), None)
    advice = f"Stop it, or move the {service}: {port_name(service)}={free}" if free else "Stop it"
    return f"Port {port} ({service}) is held by {holder(port)}. {advice}."
