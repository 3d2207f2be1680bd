"""The README's table of settings is the settings."""

from __future__ import annotations

import re
from pathlib import Path

from ingestor import settings
from ingestor.settings import IngestorSettings
from shared.settings import environment_names

README = Path(settings.__file__).with_name("README.md").read_text()


def test_the_readme_lists_every_setting_and_no_other() -> None:
    assert set(re.findall(r"^\| `(LECTERN_\w+)`", README, re.MULTILINE)) == set(environment_names(IngestorSettings))
