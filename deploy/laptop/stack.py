"""What the stack consists of: which processes, with which settings, in which order."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.laptop.home import Home
from deploy.laptop.milvus import MILVUS_ENVIRONMENT, milvus_command
from deploy.laptop.postgres import EmbeddedPostgres
from deploy.laptop.probes import grpc_health, http_ready, milvus_version, postgres_query
from deploy.laptop.runner import ServiceSpec
from deploy.laptop.settings import LaptopSettings

TASKS = ("ingestor-migrations", "gateway-migrations")


def gateway_url(settings: LaptopSettings) -> str:
    return f"http://127.0.0.1:{settings.ports['gateway']}"


def build_stack(home: Home, settings: LaptopSettings) -> list[ServiceSpec]:
    """The parts in the order in which they start. Reads the keys of ``home``, which must have been created."""
    postgres = EmbeddedPostgres(home.postgres)
    environments = _environments(home, settings, postgres.dsn)
    targets = {service: f"127.0.0.1:{port}" for service, port in settings.ports.items()}

    def grpc_service(name: str, *needs: str) -> ServiceSpec:
        probe = grpc_health(targets[name])
        command = _module(name, settings.pythons.get(name))
        return ServiceSpec(name, command, environments[name], probe, needs=needs, url=targets[name])

    def migrations(service: str) -> ServiceSpec:
        command = [*_module(f"{service}.migrations"), "upgrade"]
        return ServiceSpec(f"{service}-migrations", command, environments[service], probe=None, needs=("postgres",))

    return [
        ServiceSpec(
            "postgres",
            [*_module("deploy.laptop.postgres"), str(home.postgres)],
            settings.environment,
            postgres_query(postgres.dsn),
            url=postgres.dsn,
            stop_signal=signal.SIGINT,  # a fast shutdown; SIGTERM would wait for every client to leave
        ),
        migrations("ingestor"),
        migrations("gateway"),
        ServiceSpec(
            "milvus",
            milvus_command(home.milvus, settings.ports["milvus"]),
            {**settings.environment, **MILVUS_ENVIRONMENT},
            milvus_version(targets["milvus"]),
            url=f"http://{targets['milvus']}",
            stop_signal=signal.SIGINT,  # the one that it closes its files upon
        ),
        grpc_service("embedder", "milvus"),
        grpc_service("generator"),
        grpc_service("ingestor", "ingestor-migrations", "embedder"),
        ServiceSpec(
            "gateway",
            _module("gateway"),
            environments["gateway"],
            http_ready(f"{gateway_url(settings)}/readyz"),
            needs=("gateway-migrations", "ingestor", "embedder", "generator"),
            url=gateway_url(settings),
        ),
    ]


def _module(name: str, python: Path | None = None) -> list[str]:
    # -P: a folder called `shared` where the user happens to be must not be taken for ours.
    return [str(python or sys.executable), "-P", "-m", name]


def _environments(home: Home, settings: LaptopSettings, dsn: str) -> dict[str, Mapping[str, str]]:
    target = {service: f"127.0.0.1:{port}" for service, port in settings.ports.items()}
    decided = {
        "gateway": {
            "LECTERN_GATEWAY_LISTEN": target["gateway"],
            "LECTERN_GATEWAY_INGESTOR_TARGET": target["ingestor"],
            "LECTERN_GATEWAY_EMBEDDER_TARGET": target["embedder"],
            "LECTERN_GATEWAY_GENERATOR_TARGET": target["generator"],
            "LECTERN_GATEWAY_DATABASE_URL": dsn,
            "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": home.admin_key.read_text().strip(),
        },
        "ingestor": {
            "LECTERN_INGESTOR_LISTEN": target["ingestor"],
            "LECTERN_INGESTOR_EMBEDDER_TARGET": target["embedder"],
            "LECTERN_INGESTOR_DATABASE_URL": dsn,
            "LECTERN_INGESTOR_OBJECT_STORE_URL": home.objects.as_uri(),
        },
        "embedder": {
            "LECTERN_EMBEDDER_LISTEN": target["embedder"],
            "LECTERN_EMBEDDER_MILVUS_URI": f"http://{target['milvus']}",
        },
        "generator": {"LECTERN_GENERATOR_LISTEN": target["generator"]},
    }
    key = {"LECTERN_INTERNAL_KEY": home.internal_key.read_text().strip()}
    return {service: {**settings.environment, **settings.passed_on[service], **key, **variables} for service, variables in decided.items()}
