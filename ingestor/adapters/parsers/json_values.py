"""JSON: every value on a line of its own behind its path, one block for each record of a list.

``[{"name": "Ann", "address": {"city": "Paris"}}]`` becomes ``name: Ann`` and ``address.city: Paris``.
"""

import json
from collections.abc import Iterator
from typing import Any

from ingestor.adapters.parsers.decoding import decode
from ingestor.domain.document_builder import DocumentBuilder, one_line
from ingestor.domain.parsing import DocumentLimits, DocumentRejected, ParsedDocument, RejectionReason, SourceFile

_LINE_EXTENSIONS = (".jsonl", ".ndjson")
_MAX_KEY_CHARS = 200
_TITLE_KEYS = ("title", "name")


def check(source: SourceFile, limits: DocumentLimits) -> None:
    """Read the JSON.

    Raises:
        DocumentRejected: ``CORRUPT_DOCUMENT`` with line and column, or ``DOCUMENT_TOO_LARGE`` when nested too deeply.
    """
    _load(source, limits)


def parse(source: SourceFile, limits: DocumentLimits) -> ParsedDocument:
    """Return one block for each record of a list, or one for the whole."""
    value = _load(source, limits)
    builder = DocumentBuilder(limits)
    for record in value if isinstance(value, list) else [value]:
        builder.lines(_lines(record, "", 0, limits.max_nesting))
    title = None
    if isinstance(value, dict):
        title = next((value[key] for key in _TITLE_KEYS if isinstance(value.get(key), str)), None)
    return builder.build("json", title=title)


def _load(source: SourceFile, limits: DocumentLimits) -> Any:
    """Return the value; numbers stay as they are written."""
    text = decode(source)
    try:
        if source.name.lower().endswith(_LINE_EXTENSIONS):
            return [_loads(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        return _loads(text, 1)
    except RecursionError as error:
        raise _too_deep(limits.max_nesting) from error


def _loads(text: str, first_line: int) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        place = f"line {first_line + error.lineno - 1}, column {error.colno}"
        raise DocumentRejected(
            RejectionReason.CORRUPT_DOCUMENT, f"The JSON breaks off at {place}: {error.msg}. Correct it there and send it again."
        ) from error


def _lines(value: Any, path: str, depth: int, max_depth: int) -> Iterator[str]:
    if depth > max_depth:
        raise _too_deep(max_depth)
    if isinstance(value, dict):
        for key, inner in value.items():
            name = one_line(key)[:_MAX_KEY_CHARS]
            yield from _lines(inner, f"{path}.{name}" if path else name, depth + 1, max_depth)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for index, inner in enumerate(value, 1):
            yield from _lines(inner, f"{path}[{index}]", depth + 1, max_depth)
    else:
        text = ", ".join(filter(None, map(_scalar, value if isinstance(value, list) else [value])))
        if text:
            yield f"{path}: {text}" if path else text


def _scalar(value: str | bool | None) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else str(value).lower()


def _too_deep(limit: int) -> DocumentRejected:
    return DocumentRejected(
        RejectionReason.DOCUMENT_TOO_LARGE, f"The JSON is nested more than {limit} levels deep. Flatten it before sending it."
    )
