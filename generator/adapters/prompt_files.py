"""Prompts from the files in ``generator/prompts``: ``<name>.v<version>.<language>.md``, rules and question divided by a line ``---``."""

from __future__ import annotations

from importlib import resources
from string import Template

from generator.domain.language import FALLBACK
from generator.domain.prompts import PromptTemplate

_DIVIDER = "\n---\n"


class PromptFiles:
    """The prompts of one version, read once."""

    def __init__(self, name: str, version: str) -> None:
        """Read every language of ``name`` in ``version``.

        Raises:
            FileNotFoundError: there is none in the language that stands in for the others.
        """
        self._templates: dict[str, PromptTemplate] = {}
        for file in resources.files("generator.prompts").iterdir():
            stem, _, language = file.name.removesuffix(".md").rpartition(".")
            if stem == f"{name}.{version}":
                system, _, user = file.read_text(encoding="utf-8").partition(_DIVIDER)
                self._templates[language] = PromptTemplate(f"{name}.{version}", Template(system), Template(user))
        if FALLBACK not in self._templates:
            raise FileNotFoundError(f"generator/prompts/{name}.{version}.{FALLBACK}.md")

    def template(self, language: str) -> PromptTemplate:
        return self._templates.get(language, self._templates[FALLBACK])
