from __future__ import annotations

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import ServiceSettings, SettingsError, SettingsGroup, environment_names, load

KEY = "k" * 32


class Store(SettingsGroup):
    url: str = "file:///data"
    timeout_seconds: float = 5.0


class ExampleSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LECTERN_EXAMPLE_")

    listen: str = "127.0.0.1:1"
    database_url: SecretStr = SecretStr("")
    store: Store = Store()


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> ExampleSettings:
    for name, value in {"LECTERN_INTERNAL_KEY": KEY, **environment}.items():
        monkeypatch.setenv(name, value)
    return load(ExampleSettings)


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch, LECTERN_EXAMPLE_LISTEN="0.0.0.0:9", LECTERN_EXAMPLE_STORE__TIMEOUT_SECONDS="2.5", LECTERN_LOG_LEVEL="debug"
    )
    assert (settings.listen, settings.store.timeout_seconds, settings.log_level) == ("0.0.0.0:9", 2.5, "debug")


def test_a_misspelt_name_is_refused_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingsError, match="LECTERN_EXAMPLE_DATABASE_URI: there is no such setting; the nearest is LECTERN_EXAMPLE_DATABASE_URL"
    ):
        read(monkeypatch, LECTERN_EXAMPLE_DATABASE_URI="x")


def test_a_misspelt_nested_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="nearest is LECTERN_EXAMPLE_STORE__URL"):
        read(monkeypatch, LECTERN_EXAMPLE_STORE__URI="x")


def test_all_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as raised:
        read(monkeypatch, LECTERN_INTERNAL_KEY="short", LECTERN_EXAMPLE_METRICS_PORT="many", LECTERN_EXAMPLE_NOPE="1")
    text = str(raised.value)
    assert "LECTERN_INTERNAL_KEY" in text
    assert "LECTERN_EXAMPLE_METRICS_PORT" in text
    assert "LECTERN_EXAMPLE_NOPE" in text


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, LECTERN_EXAMPLE_DATABASE_URL="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)


def test_a_wrong_value_is_not_repeated_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as raised:
        read(monkeypatch, LECTERN_INTERNAL_KEY="hunter2")
    assert "hunter2" not in str(raised.value)


def test_every_name_is_listed_once() -> None:
    names = list(environment_names(ExampleSettings))
    assert len(names) == len(set(names))
    assert {"LECTERN_INTERNAL_KEY", "LECTERN_EXAMPLE_STORE__URL", "LECTERN_EXAMPLE_METRICS_PORT"} <= set(names)
