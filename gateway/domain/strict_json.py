"""JSON as RFC 8259 has it, and nothing that a later store could not keep."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from gateway.errors import invalid_encoding, invalid_json, nul_character
from shared.errors import AppError

# Protobuf refuses messages nested deeper than 100, and a level of JSON takes three.
MAX_DEPTH = 20
# Numbers travel as IEEE 754 doubles.
MAX_INTEGER = 2**53 - 1

JsonValue = dict[str, "JsonValue"] | list["JsonValue"] | str | int | float | bool | None


def parse(body: bytes) -> JsonValue:
    """The value that ``body`` spells.

    Raises:
        AppError: INVALID_ENCODING, INVALID_JSON or NUL_CHARACTER.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid_encoding("body") from None
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise invalid_json(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise invalid_json(str(error)) from None
    check(value)
    return value


def check(value: JsonValue, depth: int = 0) -> None:
    """Refuse what parses and could still not be kept: deep nesting, NUL, half surrogates, numbers that a double cannot hold.

    Raises:
        AppError: INVALID_JSON or NUL_CHARACTER.
    """
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, dict):
            for name in value:
                _check_text(name)
        for item in value.values() if isinstance(value, dict) else value:
            check(item, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise invalid_json("a number is too large for a double")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise invalid_json(f"an integer beyond {MAX_INTEGER} would lose digits; send it as a string")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise nul_character("body")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise invalid_json("a string holds half of a surrogate pair") from None


def _too_deep() -> AppError:
    return invalid_json(f"it is nested deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
