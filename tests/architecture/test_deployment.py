"""Compose, images and settings, held together: what one of them names, the others know."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from generator.settings import GeneratorSettings
from ingestor.settings import IngestorSettings
from shared.settings import PREFIX, ServiceSettings, environment_names, load

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: Mapping[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "ingestor": IngestorSettings,
    "embedder": EmbedderSettings,
    "generator": GeneratorSettings,
}
SERVICES = sorted(SETTINGS)
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))
FILES = [ROOT / "docker-compose.yml", *OVERRIDES]
FILLED_IN = {
    "LECTERN_INTERNAL_KEY": "5f" * 32,
    "LECTERN_GATEWAY_BOOTSTRAP_API_KEY": f"lk_{'a1' * 6}_{'b2' * 24}",
    "POSTGRES_PASSWORD": "c3" * 24,
    "MINIO_ROOT_PASSWORD": "d4" * 24,
    "LECTERN_GENERATOR_OPENAI__BASE_URL": "https://models.example/v1",
    "LECTERN_GENERATOR_OPENAI__MODEL": "small",
    "VLLM_MODEL": "some/model",
}
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<sign>[-?])(?P<rest>[^}]*))?\}")
# Nothing else of the generator may need the packages of vLLM's environment.
OF_VLLM = "generator.adapters.vllm_"
FIRST_PARTY = {*SETTINGS, "shared", "lectern", "tei", "deploy", "lectern_cli", "lectern_client"}


def interpolated(node: Any) -> Any:
    """What compose makes of a parsed file with a filled-in ``.env``."""
    if isinstance(node, dict):
        return {key: interpolated(value) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value) for value in node]
    if isinstance(node, str):
        return VARIABLE.sub(lambda found: FILLED_IN.get(found["name"], found["rest"] if found["sign"] == "-" else ""), node).replace(
            "$$", "$"
        )
    return node


def composed(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = interpolated(yaml.safe_load(path.read_text(encoding="utf-8")))
    return loaded


def built_from(name: str) -> str:
    """The service whose image a container of compose runs, by the container's name; empty for a store."""
    return next((service for service in SERVICES if name == service or name.startswith(f"{service}-")), "")


def containers(service: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The containers of ``service`` with their whole environment: the base file alone, and under each override."""
    base = composed(ROOT / "docker-compose.yml")["services"]
    for name, container in base.items():
        if built_from(name) == service:
            environment = {**image_environment(service), **container["environment"]}
            yield name, environment
            for override in OVERRIDES:
                changed = composed(override)["services"].get(name, {}).get("environment", {})
                if changed:
                    yield f"{name} with {override.name}", {**environment, **changed}


def dockerfile(service: str) -> str:
    return (ROOT / "deploy" / "docker" / f"{service}.Dockerfile").read_text(encoding="utf-8")


def image_environment(service: str) -> dict[str, str]:
    declared = re.search(r"^ENV (.*)$", dockerfile(service).replace("\\\n", " "), re.MULTILINE)
    assert declared
    return dict(pair.split("=", 1) for pair in declared[1].split())


def copied(service: str) -> list[str]:
    """The paths of the repository that an image takes in, requirements aside."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", dockerfile(service), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1] if not source.startswith("requirements/")]


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_given_to_a_service_is_one_that_it_reads(service: str) -> None:
    known = set(environment_names(SETTINGS[service]))
    given = list(containers(service))
    assert given
    unknown = {name: [key for key in environment if key.startswith(PREFIX) and key not in known] for name, environment in given}
    assert not any(unknown.values()), unknown


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_can_load_its_settings_from_what_compose_gives_it(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, environment in containers(service):
        with monkeypatch.context() as patch:
            for key, value in environment.items():
                assert isinstance(value, str), f"{name}: {key} is not quoted"
                if key.startswith(PREFIX):
                    patch.setenv(key, value)
            load(SETTINGS[service])


@pytest.mark.parametrize("service", SERVICES)
def test_peers_are_called_where_they_listen(service: str) -> None:
    ports = {peer: image_environment(peer)[f"{PREFIX}{peer.upper()}_LISTEN"].rpartition(":")[2] for peer in SERVICES}
    for name, environment in containers(service):
        targets = {key: value for key, value in environment.items() if key.endswith("_TARGET")}
        wrong = {key: value for key, value in targets.items() if value != f"{(peer := key.split('_')[-2].lower())}:{ports[peer]}"}
        assert not wrong, f"{name}: {wrong}"


def test_every_variable_of_compose_stands_in_the_example_and_every_one_there_is_used() -> None:
    used = {found["name"] for path in FILES for found in VARIABLE.finditer(path.read_text(encoding="utf-8"))} | {"COMPOSE_PROFILES"}
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert example == used


def test_what_is_required_is_not_given_a_value_in_the_example() -> None:
    required = {found["name"] for path in FILES for found in VARIABLE.finditer(path.read_text(encoding="utf-8")) if found["sign"] == "?"}
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    values = {name.lstrip("#"): value for name, _, value in (line.partition("=") for line in lines) if name.lstrip("#") in required}
    assert set(values) == required
    assert not any(values.values())


def test_only_the_gateway_is_reachable_from_the_host_and_by_default_from_it_alone() -> None:
    services = composed(ROOT / "docker-compose.yml")["services"]
    assert [name for name, container in services.items() if container.get("ports")] == ["gateway"]
    assert services["gateway"]["ports"] == ["127.0.0.1:8080:8080"]


def test_every_container_has_a_bound_of_memory_a_pinned_image_and_health_or_an_end() -> None:
    services = composed(ROOT / "docker-compose.yml")["services"]
    awaited = {name for container in services.values() for name in container.get("depends_on", {})}
    for name, container in services.items():
        assert container["mem_limit"], name
        assert "build" in container or re.search(r":[\w.-]*\d", container["image"]), name
        one_shot = any(
            other.get("depends_on", {}).get(name, {}).get("condition") == "service_completed_successfully" for other in services.values()
        )
        assert one_shot or built_from(name) or container["healthcheck"]["test"], name
    assert awaited <= set(services)


def test_milvus_is_at_least_the_version_that_closed_its_open_port() -> None:
    image = composed(ROOT / "docker-compose.yml")["services"]["milvus"]["image"]
    assert tuple(map(int, image.rpartition(":v")[2].split("."))) >= (2, 6, 10)


@pytest.mark.parametrize("service", SERVICES)
def test_our_containers_run_without_privileges_on_a_read_only_root(service: str) -> None:
    services = composed(ROOT / "docker-compose.yml")["services"]
    for name in [name for name in services if built_from(name) == service]:
        container = services[name]
        assert container["read_only"], name
        assert container["cap_drop"] == ["ALL"], name
        assert container["security_opt"] == ["no-new-privileges:true"], name
    users = re.findall(r"^USER (\S+)$", dockerfile(service), re.MULTILINE)
    assert users == ["10001:10001"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_declares_its_port_its_health_and_its_end(service: str) -> None:
    text = dockerfile(service)
    port = image_environment(service)[f"{PREFIX}{service.upper()}_LISTEN"].removeprefix("0.0.0.0:")
    assert f"EXPOSE {port}\n" in text
    health = re.search(r"^HEALTHCHECK .*$", text, re.MULTILINE)
    assert health
    assert f"127.0.0.1:{port}" in health[0]
    assert "STOPSIGNAL SIGTERM\n" in text
    assert "ARG BASE_IMAGE=python:3.11-slim\n" in text
    assert f'CMD ["python", "-m", "{service}"]\n' in text


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_takes_in_the_service_and_what_it_imports_and_nothing_more(service: str) -> None:
    protos = {"lectern", "tei"} if service == "embedder" else {"lectern"}
    assert sorted(copied(service)) == sorted([*(f"protos/{name}" for name in protos), "shared", service])
    modules = set(imported(service))
    assert {module.partition(".")[0] for module in modules} & FIRST_PARTY == {service, "shared", *protos}


@pytest.mark.parametrize(("service", "environment"), [*((service, service) for service in SERVICES), ("generator", "vllm")])
def test_every_package_that_a_service_imports_is_locked_for_its_environment(service: str, environment: str) -> None:
    lock = (ROOT / "requirements" / f"{environment}.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))
    owners = importlib.metadata.packages_distributions()
    left_out = () if environment == "vllm" else (OF_VLLM,)
    tops = {module.partition(".")[0] for module in imported(service, left_out)} - FIRST_PARTY - set(sys.stdlib_module_names)
    assert tops
    missing = [top for top in sorted(tops) if locked.isdisjoint(re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(top, (top,)))]
    assert missing == []


@pytest.mark.parametrize("service", ["gateway", "ingestor", "generator"])
def test_images_without_models_lock_no_model_library(service: str) -> None:
    locked = (ROOT / "requirements" / f"{service}.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(?:torch|transformers|vllm|tokenizers|safetensors|nvidia-.*)==", locked, re.MULTILINE)


def test_the_build_context_has_what_the_images_take_in() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    assert kept == {"requirements/*.txt", *(source for service in SERVICES for source in copied(service))}


def imported(service: str, left_out: tuple[str, ...] = ()) -> Iterator[str]:
    """Every module that is imported, directly or through our own modules, by any module of ``service`` whose name begins otherwise."""
    waiting = [module_name(path) for path in (ROOT / service).rglob("*.py")]
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module.startswith(left_out):
            continue
        seen.add(module)
        path = module_path(module)
        if path is None:
            yield module
            continue
        yield module
        waiting += imports_of(path)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if module_path(f"{node.module}.{alias.name}"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_path(module: str) -> Path | None:
    """The file of a module of ours; None for anybody else's."""
    inside = Path(*module.split("."))
    places = [ROOT / "protos" / inside if module.startswith("lectern.") else ROOT / inside]
    candidates = [candidate for place in places for candidate in (place.with_suffix(".py"), place / "__init__.py")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)
