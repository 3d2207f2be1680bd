"""JSON schemas that callers give: read without trust, and held against what a model wrote."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs

MAX_SCHEMA_CHARACTERS = 20_000
# A schema whose references unfold to more than this many parts can take for ever to check.
_MAX_UNFOLDED_PARTS = 20_000
_MAX_FAULT_CHARACTERS = 300
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL | re.IGNORECASE)


class SchemaInvalid(ValueError):  # noqa: N818  # not an error of the caller's until a service says so
    """The text is not a JSON schema that can be used; the message says why."""


class JsonSchema:
    """A schema of any draft from 4 on. Nothing that it refers to is fetched, and its patterns run in linear time."""

    def __init__(self, text: str) -> None:
        """Read the schema in ``text``.

        Raises:
            SchemaInvalid: it is not one, too large, or refers to what is not in it.
        """
        if len(text) > MAX_SCHEMA_CHARACTERS:
            raise SchemaInvalid(f"it has more than {MAX_SCHEMA_CHARACTERS:,} characters")
        try:
            schema = json.loads(text)
            is_endless = _unfolded_parts(schema) > _MAX_UNFOLDED_PARTS
            self._validator = jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
        except RecursionError:
            raise SchemaInvalid("it is nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise SchemaInvalid(_first_line(error)) from None
        if is_endless:
            raise SchemaInvalid("its references unfold to too many parts")

    def fault_of(self, text: str) -> str | None:
        """What is wrong with the JSON ``text``, in words that a model understands; None: it satisfies the schema."""
        try:
            self._validator.validate(json.loads(text, parse_constant=_refuse_constant))
        except jsonschema_rs.ValidationError as error:
            place = "".join(f"[{part!r}]" for part in error.instance_path) or "the whole"
            return f"at {place[:_MAX_FAULT_CHARACTERS]}: {_first_line(error)}"
        except RecursionError:
            return "it is nested too deeply"
        except ValueError as error:
            return f"it is not JSON: {_first_line(error)}"
        return None


def without_fence(text: str) -> str:
    """``text`` without the Markdown fence and the space that models like to put around JSON."""
    fenced = _FENCED.fullmatch(text)
    return (fenced[1] if fenced else text).strip()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:_MAX_FAULT_CHARACTERS] if lines else "it cannot be read"


def _unfolded_parts(schema: Any) -> int:
    """How many parts ``schema`` has when each of its own references stands for what it refers to; one that leads back counts once."""
    counted: dict[str, int] = {}

    def parts(node: Any) -> int:
        if isinstance(node, list):
            return 1 + sum(map(parts, node))
        if not isinstance(node, dict):
            return 1
        reference = node.get("$ref")
        total = 1 + sum(map(parts, node.values()))
        return total + target(reference) if isinstance(reference, str) else total

    def target(reference: str) -> int:
        if reference not in counted:
            counted[reference] = 1
            counted[reference] = parts(_resolved(schema, reference))
        return counted[reference]

    return parts(schema)


def _resolved(schema: Any, reference: str) -> Any:
    """What a local JSON pointer leads to; None for any other reference, which the validator judges."""
    node = schema
    for step in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#/") else ():
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return None if node is schema else node
