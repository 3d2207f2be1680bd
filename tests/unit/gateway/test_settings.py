from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.settings import GatewaySettings
from shared.settings import SettingsError, environment_names, load

REQUIRED = {"LECTERN_INTERNAL_KEY": "k" * 32, "LECTERN_GATEWAY_DATABASE_URL": "postgresql://localhost/lectern"}
README = Path(__file__).parents[3] / "gateway" / "README.md"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def flat(settings: BaseModel, prefix: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        values |= flat(value, f"{prefix}{name.upper()}__") if isinstance(value, BaseModel) else {f"{prefix}{name.upper()}": value}
    return values


def test_the_readme_names_every_setting_with_its_default(environment: pytest.MonkeyPatch) -> None:
    table = dict(re.findall(r"^\| `(LECTERN_\w+)` \|(.*?)\|", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(table) == set(environment_names(GatewaySettings))
    own = {name: value for name, value in flat(load(GatewaySettings), "LECTERN_GATEWAY_").items() if name in table.keys() - REQUIRED}
    assert {name: table[name].strip() for name in own} == {name: "" if value is None else f"`{value}`" for name, value in own.items()}


def test_limits_and_timeouts_are_set_by_nested_names(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LECTERN_GATEWAY_LIMITS__MAX_LINE_BYTES", "2048")
    environment.setenv("LECTERN_GATEWAY_TIMEOUTS__WAIT_SECONDS", "1.5")
    settings = load(GatewaySettings)
    assert (settings.limits.max_line_bytes, settings.timeouts.wait_seconds) == (2048, 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LECTERN_GATEWAY_LIMITS__MAX_LINE_BYTE", "2048"),
        ("LECTERN_GATEWAY_LIMITS__MAX_LINE_BYTES", "0"),
        ("LECTERN_GATEWAY_TIMEOUTS__WAIT_SECONDS", "soon"),
        ("LECTERN_GATEWAY_LISTEN", "localhost"),
        ("LECTERN_GATEWAY_BOOTSTRAP_API_KEY", "lk_short_secret"),
    ],
)
def test_a_wrong_setting_is_named_and_its_secret_is_not(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as raised:
        load(GatewaySettings)
    assert "lk_short" not in str(raised.value)


@pytest.mark.parametrize("keys", ["", "a", "a:00", f"a:{'0' * 64},a:{'1' * 64}", f"a:{'0' * 64},"])
def test_encryption_keys_that_are_none_are_refused_without_being_shown(environment: pytest.MonkeyPatch, keys: str) -> None:
    environment.setenv("LECTERN_GATEWAY_ENCRYPTION_KEYS", keys)
    if not keys:
        assert load(GatewaySettings).key_encryption_keys() == {}
        return
    with pytest.raises(SettingsError) as raised:
        load(GatewaySettings)
    assert "LECTERN_GATEWAY_ENCRYPTION_KEYS" in str(raised.value)
    assert "0" * 64 not in str(raised.value)
