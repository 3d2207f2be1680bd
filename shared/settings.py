"""Settings of a service: read once from the environment, frozen, and strict about names."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "LECTERN_"
NESTED = "__"


class SettingsGroup(BaseModel):
    """A nested group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServiceSettings(BaseSettings):
    """What every service can be told.

    A subclass sets ``env_prefix`` to ``LECTERN_<SERVICE>_``. The fields below have one name for all services, so that a deployment says
    them once.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter=NESTED, env_ignore_empty=True)

    internal_key: Annotated[
        SecretStr,
        Field(
            validation_alias="LECTERN_INTERNAL_KEY", min_length=32, description="Signs callers between services; the same in all of them."
        ),
    ]
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(validation_alias="LECTERN_LOG_LEVEL", description="Least severe log line that is written."),
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"],
        Field(validation_alias="LECTERN_LOG_FORMAT", description="One JSON object a line, or coloured text."),
    ] = "json"
    metrics_port: Annotated[int, Field(ge=0, le=65535, description="Port of the Prometheus page; 0: none.")] = 0


class SettingsError(Exception):
    """The environment cannot be used; the text says which names to change and how."""


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(settings: type[Settings], environment: Mapping[str, str] | None = None) -> Settings:
    """Read ``settings`` from the environment.

    Raises:
        SettingsError: a name with the service's prefix is unknown, or a value is missing or wrong. All faults are listed at once.
    """
    environment = os.environ if environment is None else environment
    known = set(environment_names(settings))
    prefix = settings.model_config.get("env_prefix", "")
    faults = [_unknown(name, known) for name in sorted(environment) if name.startswith(prefix) and name not in known]
    try:
        loaded = settings()
    except ValidationError as error:
        faults += [_fault(settings, fault["loc"], fault["msg"]) for fault in error.errors(include_input=False, include_url=False)]
    if faults:
        raise SettingsError("\n".join(faults))
    return loaded


def load_or_exit(settings: type[Settings]) -> Settings:
    """`load`, for a ``__main__``: prints what is wrong and leaves with status 2."""
    try:
        return load(settings)
    except SettingsError as error:
        sys.stderr.write(f"The settings are wrong, so nothing was started:\n{error}\n")
        raise SystemExit(2) from None


def environment_names(settings: type[ServiceSettings]) -> Iterator[str]:
    """Every environment variable that ``settings`` reads, in the order of its fields."""
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        yield from _names(alias if isinstance(alias, str) else prefix + name.upper(), field.annotation)


def _names(name: str, annotation: object) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for child, field in annotation.model_fields.items():
            yield from _names(f"{name}{NESTED}{child.upper()}", field.annotation)
    else:
        yield name


def _unknown(name: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"  {name}: there is no such setting; the nearest is {nearest[0]}."


def _fault(settings: type[ServiceSettings], location: tuple[int | str, ...], message: str) -> str:
    parts = [str(part) for part in location]
    if not parts or not parts[0].startswith(PREFIX):
        parts = [settings.model_config.get("env_prefix", "") + NESTED.join(parts)]
    return f"  {NESTED.join(parts).upper()}: {message}."
