"""Prompts from the files in ``generator/prompts``.

A file ``<name>.<version>.<language>.md`` holds the rules, then, where the prompt takes them, what frames an assistant's instructions, then
what is asked, each divided from the next by a line ``---``.
"""

from __future__ import annotations

from importlib import resources
from string import Template

from generator.domain.language import FALLBACK
from generator.domain.prompts import PromptTemplate

# The version of each prompt that is used; an older one may stay beside it to be compared with.
VERSIONS = {"answer": "v2", "condense": "v1", "title": "v1"}
_DIVIDER = "\n---\n"


class PromptFiles:
    """One prompt in all its languages, read once."""

    def __init__(self, name: str) -> None:
        """Read every language of the prompt ``name``.

        Raises:
            FileNotFoundError: there is none in the language that stands in for the others.
        """
        version = f"{name}.{VERSIONS[name]}"
        self._templates: dict[str, PromptTemplate] = {}
        for file in resources.files("generator.prompts").iterdir():
            stem, _, language = file.name.removesuffix(".md").rpartition(".")
            if stem == version:
                system, *instructions, user = file.read_text(encoding="utf-8").split(_DIVIDER)
                self._templates[language] = PromptTemplate(version, Template(system), Template(user), Template("".join(instructions)))
        if FALLBACK not in self._templates:
            raise FileNotFoundError(f"generator/prompts/{version}.{FALLBACK}.md")

    def template(self, language: str) -> PromptTemplate:
        return self._templates.get(language, self._templates[FALLBACK])
