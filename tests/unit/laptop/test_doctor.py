from __future__ import annotations

import socket

import pytest

from deploy.laptop.doctor import Finding, examine
from deploy.laptop.home import Home


def findings(home: Home) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in examine(home):
        found.setdefault(finding.check, []).append(finding)
    return found


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("GATEWAY", "INGESTOR", "EMBEDDER", "GENERATOR", "MILVUS"):
        monkeypatch.delenv(f"LECTERN_PORT_{service}", raising=False)


def test_this_machine_passes_what_the_tests_themselves_need(home: Home) -> None:
    found = findings(home)
    for check in ("python", "packages", "settings", "home"):
        assert [finding.level for finding in found[check]] == ["OK"], found[check]


def test_every_complaint_names_a_fix(home: Home) -> None:
    for finding in examine(home):
        assert finding.message
        assert finding.level == "OK" or finding.fix, finding


def test_a_key_that_others_can_read_is_a_failure(home: Home) -> None:
    home.admin_key.chmod(0o644)
    (finding,) = findings(home)["home"]
    assert finding.level == "FAIL"
    assert finding.fix == f"chmod 600 {home.admin_key}"


def test_a_port_that_is_taken_is_a_failure_naming_the_setting(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        monkeypatch.setenv("LECTERN_PORT_EMBEDDER", str(holder.getsockname()[1]))
        found = findings(home)["ports"]
    assert any(finding.level == "FAIL" and "LECTERN_PORT_EMBEDDER" in finding.fix for finding in found)


def test_an_unknown_setting_is_a_failure(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTERN_GENERATOR_MODLE", "x")
    (finding,) = findings(home)["settings"]
    assert finding.level == "FAIL"
    assert "LECTERN_GENERATOR_MODLE" in finding.message


def test_a_missing_package_is_a_failure_naming_the_extra(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.laptop.doctor._PACKAGES", {"embedder": ("torch", "no_such_package")})
    (finding,) = findings(home)["packages"]
    assert (finding.level, "no_such_package" in finding.message, "lectern[embedder]" in finding.fix) == ("FAIL", True, True)
