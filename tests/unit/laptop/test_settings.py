from __future__ import annotations

from pathlib import Path

import pytest

from deploy.laptop.errors import LaptopError
from deploy.laptop.home import Home
from deploy.laptop.runner import ServiceSpec
from deploy.laptop.settings import DECIDED, DEFAULT_PORTS, SERVICE_SETTINGS, LaptopSettings, known_names
from deploy.laptop.stack import build_stack
from shared.settings import environment_names


def refusal(environment: dict[str, str], ports: dict[str, int] | None = None) -> str:
    with pytest.raises(LaptopError) as refused:
        LaptopSettings.load(environment, ports=ports)
    assert refused.value.reason == "SETTINGS_ARE_WRONG"
    return refused.value.message


def test_ports_come_from_the_options_then_the_environment_then_the_defaults() -> None:
    settings = LaptopSettings.load({"LECTERN_PORT_GATEWAY": "9000", "LECTERN_PORT_MILVUS": "9004"}, ports={"milvus": 9104})
    assert settings.ports == {**DEFAULT_PORTS, "gateway": 9000, "milvus": 9104}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    message = refusal({"LECTERN_PORT_GATWAY": "1", "LECTERN_EMBEDDER_MODLE": "x"})
    assert "LECTERN_PORT_GATWAY: there is no such setting; the nearest is LECTERN_PORT_GATEWAY" in message
    assert "LECTERN_EMBEDDER_MODLE: there is no such setting; the nearest is LECTERN_EMBEDDER_MODEL" in message


def test_the_generator_can_run_in_another_interpreter(home: Home, tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert f"there is no interpreter {python}" in refusal({"LECTERN_PYTHON_GENERATOR": str(python)})
    python.touch()
    specs = {spec.name: spec for spec in build_stack(home, LaptopSettings.load({"LECTERN_PYTHON_GENERATOR": str(python)}))}
    assert specs["generator"].command[0] == str(python)
    assert "LECTERN_PYTHON_GENERATOR" not in specs["generator"].environment
    assert specs["embedder"].command[0] != str(python)


@pytest.mark.parametrize("value", ["", "0", "65536", "eighty", "-1", "80.5"])
def test_what_is_no_port_is_refused(value: str) -> None:
    if value:
        assert "LECTERN_PORT_GATEWAY must be a port" in refusal({"LECTERN_PORT_GATEWAY": value})
    else:
        assert LaptopSettings.load({"LECTERN_PORT_GATEWAY": value}).ports == DEFAULT_PORTS


def test_two_services_cannot_share_a_port() -> None:
    assert "both 9000" in refusal({}, ports={"gateway": 9000, "milvus": 9000})


def test_a_port_of_no_service_is_refused() -> None:
    assert "no service 'gatway'" in refusal({}, ports={"gatway": 9000})


def test_what_the_supervisor_decides_cannot_be_set() -> None:
    message = refusal({"LECTERN_INGESTOR_DATABASE_URL": "postgresql://elsewhere"})
    assert "LECTERN_INGESTOR_DATABASE_URL is decided by `lectern up`" in message


def test_every_name_that_the_supervisor_decides_is_one_that_a_service_reads() -> None:
    read = {name for settings in SERVICE_SETTINGS.values() for name in environment_names(settings)}
    assert set(DECIDED) <= read
    assert not set(DECIDED) & known_names()


@pytest.fixture
def stack(home: Home) -> dict[str, ServiceSpec]:
    environment = {
        "PATH": "/bin",
        "LECTERN_HOME": str(home.path),
        "LECTERN_API_KEY": "lk_of_the_command",
        "LECTERN_LOG_LEVEL": "debug",
        "LECTERN_EMBEDDER_MODEL": "/models/e5",
        "LECTERN_GENERATOR_DEFAULT_MODEL": "extractive",
    }
    return {spec.name: spec for spec in build_stack(home, LaptopSettings.load(environment))}


def test_a_users_settings_reach_their_service_and_no_other(stack: dict[str, ServiceSpec]) -> None:
    assert stack["embedder"].environment["LECTERN_EMBEDDER_MODEL"] == "/models/e5"
    assert stack["generator"].environment["LECTERN_GENERATOR_DEFAULT_MODEL"] == "extractive"
    assert "LECTERN_EMBEDDER_MODEL" not in stack["gateway"].environment
    assert "LECTERN_GENERATOR_DEFAULT_MODEL" not in stack["ingestor"].environment
    assert all(stack[name].environment["LECTERN_LOG_LEVEL"] == "debug" for name in ("gateway", "ingestor", "embedder", "generator"))
    assert all("LECTERN_API_KEY" not in spec.environment for spec in stack.values())


def test_no_secret_stands_on_a_command_line_or_in_a_url(stack: dict[str, ServiceSpec], home: Home) -> None:
    secrets = {home.admin_key.read_text().strip(), home.internal_key.read_text().strip()}
    assert secrets <= set(stack["gateway"].environment.values())
    for spec in stack.values():
        shown = " ".join([*spec.command, spec.url])
        assert not any(secret in shown for secret in secrets)


def test_only_services_that_need_the_internal_key_get_it(stack: dict[str, ServiceSpec]) -> None:
    holders = {name for name, spec in stack.items() if "LECTERN_INTERNAL_KEY" in spec.environment}
    assert holders == {"gateway", "ingestor", "embedder", "generator", "ingestor-migrations", "gateway-migrations"}


def test_each_part_needs_only_parts_that_start_before_it(stack: dict[str, ServiceSpec]) -> None:
    before: set[str] = set()
    for spec in stack.values():
        assert set(spec.needs) <= before
        before.add(spec.name)
    assert next(iter(stack)) == "postgres"
    assert list(stack)[-1] == "gateway"


def test_everything_listens_on_the_loopback_address_alone(stack: dict[str, ServiceSpec]) -> None:
    listens = [value for spec in stack.values() for name, value in spec.environment.items() if name.endswith("_LISTEN")]
    assert listens
    assert all(value.startswith("127.0.0.1:") for value in listens)
    assert "127.0.0.1" in stack["milvus"].command


def test_data_stays_below_the_home(stack: dict[str, ServiceSpec], home: Home) -> None:
    assert stack["ingestor"].environment["LECTERN_INGESTOR_OBJECT_STORE_URL"] == f"file://{home.objects}"
    assert str(home.milvus) in stack["milvus"].command
    assert str(home.postgres) in stack["postgres"].command
    assert Path(home.postgres).is_relative_to(home.path)
