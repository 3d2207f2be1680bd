"""Built-in assistants, from a YAML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.assistants import AssistantDraft
from gateway.schemas.assistants import AssistantInput
from shared.errors import AppError, invalid_argument

# What comes with Lectern.
OWN_FILE = Path(__file__).parents[1] / "assistants.yaml"
_LIST = TypeAdapter(list[AssistantInput])


def read_assistants(file: Path) -> Sequence[AssistantDraft]:
    """The assistants that ``file`` describes, each with the fields of `POST /api/v1/assistants`. Blocking.

    Raises:
        AppError: ASSISTANTS_FILE_INVALID, which names what is wrong in which entry.
    """
    try:
        entries = _LIST.validate_python(yaml.safe_load(file.read_bytes()) or [])
    except (OSError, yaml.YAMLError) as error:
        raise _invalid(file, str(error)) from error
    except ValidationError as error:
        raise _invalid(file, "; ".join(_fault(fault) for fault in error.errors(include_url=False, include_input=False))) from None
    if twice := [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]:
        raise _invalid(file, f"the name {twice[0]!r} stands there twice.")
    return [entry.to_draft() for entry in entries]


def _fault(fault: ErrorDetails) -> str:
    unknown = fault.get("ctx", {}).get("unknown_field")
    place = [*fault["loc"], unknown] if unknown else fault["loc"]
    return f"{'.'.join(map(str, place))}: {fault['msg']}"


def _invalid(file: Path, what: str) -> AppError:
    return invalid_argument("ASSISTANTS_FILE_INVALID", f"{file} describes no assistants as they should be: {what}")
