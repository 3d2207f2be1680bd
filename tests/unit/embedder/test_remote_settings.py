"""What an operator may say of a model on another server, and what a mistake in it tells him."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedder.settings import EmbedderSettings, RemoteModelSettings
from shared.settings import SettingsError, load

SECRET = "sk-a-key-of-the-tests"
ENTRY = {"name": "far", "url": "http://10.0.0.7:8080/v1/embeddings", "api_key": SECRET, "remote_model": "their-model"}


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(**changes: object) -> EmbedderSettings:
        monkeypatch.setenv("LECTERN_INTERNAL_KEY", "k" * 32)
        monkeypatch.setenv("LECTERN_EMBEDDER_MODELS", json.dumps([ENTRY | changes, {"name": "near", "folder": "minilm"}]))
        return load(EmbedderSettings)

    return read


def test_an_entry_with_a_url_is_a_remote_model_whose_key_is_not_shown(settings_of: Any) -> None:
    far, near = settings_of().models
    assert isinstance(far, RemoteModelSettings)
    assert far.api_key.get_secret_value() == SECRET
    assert SECRET not in repr(far)
    assert near.folder == "minilm"


@pytest.mark.parametrize(
    ("changes", "at_fault"),
    [
        ({"url": "ftp://host/embeddings"}, "URL"),
        ({"url": "http://user:password@host/embeddings"}, "URL"),
        ({"url": "https://host"}, "URL"),
        ({"folder": "/models/e5"}, "FOLDER"),
        ({"api_key": [SECRET]}, "API_KEY"),
        ({"dimension": 0}, "DIMENSION"),
        ({"name": "near"}, "more than one model is called near"),
    ],
)
def test_a_mistake_is_named_and_the_key_is_not(settings_of: Any, changes: dict[str, object], at_fault: str) -> None:
    with pytest.raises(SettingsError, match=at_fault) as wrong:
        settings_of(**changes)
    assert SECRET not in str(wrong.value)
