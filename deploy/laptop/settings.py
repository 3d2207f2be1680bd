"""What a user can tell the laptop stack, and which settings reach which service. The only place here that reads the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.laptop.errors import LaptopError
from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from generator.settings import GeneratorSettings
from ingestor.settings import IngestorSettings
from shared.settings import PREFIX, ServiceSettings, environment_names

HIGHEST_PORT = 65535
DEFAULT_PORTS: Mapping[str, int] = {"gateway": 8080, "ingestor": 8081, "embedder": 8082, "generator": 8083, "milvus": 8084}
SERVICE_SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "ingestor": IngestorSettings,
    "embedder": EmbedderSettings,
    "generator": GeneratorSettings,
}
# Said once for all services.
COMMON = ("LECTERN_LOG_LEVEL", "LECTERN_LOG_FORMAT")
# The interpreter that the generator runs in: that of vLLM's environment, which is not this one.
GENERATOR_PYTHON = "LECTERN_PYTHON_GENERATOR"
# Read by the command itself.
OF_THE_COMMAND = ("LECTERN_HOME", "LECTERN_URL", "LECTERN_API_KEY", GENERATOR_PYTHON)
# What the supervisor decides, because the parts must fit together.
DECIDED = (
    "LECTERN_INTERNAL_KEY",
    "LECTERN_GATEWAY_LISTEN",
    "LECTERN_GATEWAY_INGESTOR_TARGET",
    "LECTERN_GATEWAY_EMBEDDER_TARGET",
    "LECTERN_GATEWAY_GENERATOR_TARGET",
    "LECTERN_GATEWAY_DATABASE_URL",
    "LECTERN_GATEWAY_BOOTSTRAP_API_KEY",
    "LECTERN_INGESTOR_LISTEN",
    "LECTERN_INGESTOR_EMBEDDER_TARGET",
    "LECTERN_INGESTOR_DATABASE_URL",
    "LECTERN_INGESTOR_OBJECT_STORE_URL",
    "LECTERN_EMBEDDER_LISTEN",
    "LECTERN_EMBEDDER_MILVUS_URI",
    "LECTERN_GENERATOR_LISTEN",
)


def port_name(service: str) -> str:
    """The setting that moves ``service`` to another port."""
    return f"{PREFIX}PORT_{service.upper()}"


@dataclass(frozen=True, slots=True)
class LaptopSettings:
    """Settings of the stack.

    Attributes:
        ports: port by service, on the loopback address.
        pythons: interpreter by service, of those that do not run in this one.
        passed_on: by service, the variables that the user set for it.
        environment: the rest of the user's environment, for every process.
    """

    ports: Mapping[str, int]
    pythons: Mapping[str, Path]
    passed_on: Mapping[str, Mapping[str, str]]
    environment: Mapping[str, str]

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, *, ports: Mapping[str, int] | None = None) -> LaptopSettings:
        """Read the settings from ``environment`` (the process's own when None); ``ports`` go before it.

        Raises:
            LaptopError: a name is unknown or not the user's to set, or a port is not one. All faults are listed at once.
        """
        environment = os.environ if environment is None else environment
        given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
        faults = [fault for name in sorted(given) if (fault := _fault(name))]
        chosen = dict(DEFAULT_PORTS)
        for service in DEFAULT_PORTS:
            value = given.get(port_name(service))
            if value is not None:
                chosen[service] = int(value) if value.isdecimal() else -1
        chosen.update(ports or {})
        faults += list(_port_faults(chosen))
        pythons = {"generator": Path(given[GENERATOR_PYTHON]).absolute()} if GENERATOR_PYTHON in given else {}
        faults += [f"  {GENERATOR_PYTHON}: there is no interpreter {python}." for python in pythons.values() if not python.is_file()]
        if faults:
            raise LaptopError("SETTINGS_ARE_WRONG", "The settings are wrong, so nothing was started:\n" + "\n".join(faults))
        return cls(
            ports=chosen,
            pythons=pythons,
            passed_on={service: _passed_on(service, given) for service in SERVICE_SETTINGS},
            environment={name: value for name, value in environment.items() if not name.startswith(PREFIX)},
        )


def known_names() -> set[str]:
    """Every name that a user may set."""
    of_services = {name for settings in SERVICE_SETTINGS.values() for name in environment_names(settings)}
    return (of_services | set(COMMON) | set(OF_THE_COMMAND) | {port_name(service) for service in DEFAULT_PORTS}) - set(DECIDED)


def _passed_on(service: str, given: Mapping[str, str]) -> dict[str, str]:
    prefix = f"{PREFIX}{service.upper()}_"
    return {name: value for name, value in given.items() if name.startswith(prefix) or name in COMMON}


def _fault(name: str) -> str | None:
    known = known_names()
    if name in known:
        return None
    if name in DECIDED:
        return f"  {name} is decided by `lectern up`: unset it. Ports are chosen with {PREFIX}PORT_GATEWAY and its like."
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"  {name}: there is no such setting; the nearest is {nearest}."


def _port_faults(ports: Mapping[str, int]) -> Iterator[str]:
    holders: dict[int, str] = {}
    for service, port in ports.items():
        if service not in DEFAULT_PORTS:
            yield f"  There is no service {service!r} with a port; choose one of {', '.join(DEFAULT_PORTS)}."
        elif not 1 <= port <= HIGHEST_PORT:
            yield f"  {port_name(service)} must be a port between 1 and 65535."
        elif port in holders:
            yield f"  {port_name(service)} and {port_name(holders[port])} are both {port}; give each a port of its own."
        holders.setdefault(port, service)
