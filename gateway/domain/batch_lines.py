"""Newline-delimited JSON: one text of a batch a line, read as it arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final

from gateway.domain import strict_json
from gateway.domain.documents import BatchEntry
from gateway.domain.strict_json import JsonValue
from gateway.errors import nearest
from shared.errors import AppError, FieldViolation, Status

_FIELDS: Final = ("id", "name", "text", "metadata")
_MAX_NAME: Final = 500
_SAME_REASON: Final = {"INVALID_ENCODING": "INVALID_ENCODING", "NUL_CHARACTER": "NUL_CHARACTER"}


async def read_entries(body: AsyncIterator[bytes], max_line_bytes: int) -> AsyncGenerator[BatchEntry, None]:
    """The entries of ``body``, in constant memory; blank lines are skipped.

    Raises:
        AppError: EMPTY_BATCH, or what is wrong with a line, whose number (from 1) is in the message and in ``metadata["line"]``.
    """
    empty = True
    async for number, line in _numbered_lines(body, max_line_bytes):
        if line and not line.isspace():
            empty = False
            yield _entry(number, line)
    if empty:
        raise AppError("EMPTY_BATCH", Status.INVALID_ARGUMENT, "The batch has no line. Send one JSON object a line.")


async def _numbered_lines(body: AsyncIterator[bytes], max_line_bytes: int) -> AsyncGenerator[tuple[int, bytes], None]:
    rest = bytearray()
    number = 0
    async for part in body:
        rest += part
        for line in _cut(rest):
            number += 1
            _check_length(number, len(line), max_line_bytes)
            yield number, line
        _check_length(number + 1, len(rest), max_line_bytes)
    if rest:
        yield number + 1, bytes(rest)


def _cut(buffer: bytearray) -> Iterator[bytes]:
    """Take the complete lines out of ``buffer``."""
    end = buffer.rfind(b"\n")
    if end >= 0:
        complete = bytes(buffer[:end])
        del buffer[: end + 1]
        yield from complete.split(b"\n")


def _check_length(number: int, length: int, max_line_bytes: int) -> None:
    if length > max_line_bytes:
        raise _bad_line(number, "LINE_TOO_LONG", f"is longer than {max_line_bytes:,} bytes; upload the text as a document instead")


def _entry(number: int, line: bytes) -> BatchEntry:
    try:
        value = strict_json.parse(line)
    except AppError as error:
        reason = _SAME_REASON.get(error.reason, "INVALID_LINE")
        raise _bad_line(number, reason, f"cannot be read: {error.message}") from None
    if not isinstance(value, dict):
        raise _bad_line(number, "INVALID_LINE", "is not a JSON object")
    for name in value:
        if name not in _FIELDS:
            raise _bad_line(number, "INVALID_LINE", f"has the unknown field {name!r}; the nearest is {nearest(name, _FIELDS)!r}")
    text = _text(number, value, "text")
    if not text.strip():
        raise _bad_line(number, "EMPTY_TEXT", "has no text")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise _bad_line(number, "INVALID_LINE", "has a 'metadata' that is not an object")
    return BatchEntry(_short(number, value, "id"), _short(number, value, "name"), text, metadata)


def _text(number: int, value: dict[str, JsonValue], name: str) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _bad_line(number, "INVALID_LINE", f"has a {name!r} that is not a string")
    return text


def _short(number: int, value: dict[str, JsonValue], name: str) -> str:
    text = _text(number, value, name)
    if len(text) > _MAX_NAME:
        raise _bad_line(number, "INVALID_LINE", f"has a {name!r} longer than {_MAX_NAME} characters")
    return text


def _bad_line(number: int, reason: str, what: str) -> AppError:
    message = f"Line {number} {what}. Nothing of the batch was taken in."
    violation = FieldViolation(f"line {number}", message)
    return AppError(reason, Status.INVALID_ARGUMENT, message, metadata={"line": str(number)}, violations=(violation,))
