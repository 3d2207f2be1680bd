"""Where a model's settings stand, so that an error can name what to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model's name and what its settings are called.

    Attributes:
        own: pattern of the names of settings that describe the model; ``{}`` stands for the setting, in lower case.
        service: the same for the settings that the service has for all models of this kind.
    """

    name: str
    own: str = "its `{}`"
    service: str = ""

    def setting(self, name: str) -> str:
        """What the model's setting ``name`` is called where it is set."""
        return _filled(self.own, name)

    def service_setting(self, name: str) -> str:
        """What the setting ``name`` is called that a request cannot bring with it."""
        return _filled(self.service or self.own, name)


def _filled(pattern: str, name: str) -> str:
    return pattern.format(name.upper() if pattern.startswith("LECTERN_") else name)
