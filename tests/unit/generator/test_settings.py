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


def test_a_list_of_models_is_read_from_json_and_its_first_is_the_default(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(
        "LECTERN_GENERATOR_MODELS",
        '[{"name": "own", "engine": "vllm", "model": "/models/own", "context_tokens": 12000},'
        ' {"name": "far", "engine": "openai", "base_url": "https://m.example/v1", "model": "x", "api_key": "sk-secret"}]',
    )
    settings = load(GeneratorSettings)
    assert settings.default_model_name == "own"
    assert settings.model_names == ["extractive", "own", "far"]
    assert "sk-secret" not in repr(settings)
    environment.setenv("LECTERN_GENERATOR_DEFAULT_MODEL", "far")
    assert load(GeneratorSettings).default_model_name == "far"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"OPENAI__BASE_URL": "http://localhost:8000/v1"}, "set together"),
        ({"OPENAI__MODEL": "qwen"}, "set together"),
        ({"OPENAI__BASE_URL": "localhost:8000", "OPENAI__MODEL": "qwen"}, "http://"),
        ({"OPENAI__BASE_URL": "http://localhost/v1", "OPENAI__MODEL": "extractive"}, "taken"),
        ({"DEFAULT_MODEL": "qwen"}, "extractive"),
        ({"OPENAI__BASE_URI": "http://localhost/v1"}, "LECTERN_GENERATOR_OPENAI__BASE_URL"),
        ({"MODELS": "[{]"}, "LECTERN_GENERATOR_MODELS"),
        ({"MODELS": '[{"name": "m", "engine": "gpt"}]'}, "'extractive', 'openai', 'vllm'"),
        ({"MODELS": '[{"name": "m", "engine": "openai", "base_url": "https://m.example/v1"}]'}, "MODEL"),
        ({"MODELS": '[{"name": "m", "engine": "openai", "base_url": "https://k@m.example/v1", "model": "x"}]'}, "http://"),
        ({"MODELS": '[{"name": "m", "engine": "vllm", "model": "/m", "max_running": 9, "max_concurrent": 8}]'}, "at least max_running"),
        ({"MODELS": '[{"name": "extractive", "engine": "extractive"}]'}, "taken"),
        ({"MODELS": '[{"name": "m", "engine": "extractive"}, {"name": "m", "engine": "extractive"}]'}, "more than one model"),
        ({"ENDPOINTS__ALLOWED_NETWORKS": '["10.0.0.0/99"]'}, "ENDPOINTS__ALLOWED_NETWORKS"),
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
