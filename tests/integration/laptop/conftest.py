"""The supervisor over real stores; the fixtures are those of its unit tests."""

from tests.unit.laptop.conftest import home, supervised

__all__ = ["home", "supervised"]
