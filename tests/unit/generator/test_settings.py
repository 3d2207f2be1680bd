from __future__ import annotations

import re
from pathlib import Path

import pytest

from generator.settings import GeneratorSettings
from shared.settings import SettingsError, environment_names, load


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LECTERN_INTERNAL_KEY", "k" * 32)
    return monkeypatch


def test_a_key_is_all_that_the_extractive_engine_needs(environment: pytest.MonkeyPatch) -> None:
    settings = load(GeneratorSettings)
    assert settings.listen == "127.0.0.1:8083"
    assert not settings.openai.base_url


def test_an_endpoint_is_read_from_nested_names(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LECTERN_GENERATOR_OPENAI__BASE_URL", "http://localhost:8000/v1")
    environment.setenv("LECTERN_GENERATOR_OPENAI__MODEL", "qwen")
    environment.setenv("LECTERN_GENERATOR_OPENAI__API_KEY", "sk-secret")
    settings = load(GeneratorSettings)
    assert settings.openai.model == "qwen"
    assert "sk-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"OPENAI__BASE_URL": "http://localhost:8000/v1"}, "set together"),
        ({"OPENAI__MODEL": "qwen"}, "set together"),
        ({"OPENAI__BASE_URL": "localhost:8000", "OPENAI__MODEL": "qwen"}, "http://"),
        ({"OPENAI__BASE_URL": "http://localhost/v1", "OPENAI__MODEL": "extractive"}, "taken"),
        ({"DEFAULT_MODEL": "qwen"}, "extractive"),
        ({"OPENAI__BASE_URI": "http://localhost/v1"}, "LECTERN_GENERATOR_OPENAI__BASE_URL"),
        ({"MAX_CONCURRENT_ANSWERS": "0"}, "LECTERN_GENERATOR_MAX_CONCURRENT_ANSWERS"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_what_to_change(
    environment: pytest.MonkeyPatch, names: dict[str, str], told: str
) -> None:
    for name, value in names.items():
        environment.setenv(f"LECTERN_GENERATOR_{name}", value)
    with pytest.raises(SettingsError, match=told):
        load(GeneratorSettings)


def test_the_readme_names_every_setting_and_no_other() -> None:
    readme = Path("generator/README.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `(LECTERN_[A-Z_]+)`", readme, re.MULTILINE))
    assert table == set(environment_names(GeneratorSettings))


def test_the_readme_names_every_reason_that_the_service_gives() -> None:
    readme = Path("generator/README.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', Path("generator/errors.py").read_text(encoding="utf-8")))
    assert reasons - set(re.findall(r"`([A-Z_]+)`", readme)) == set()
