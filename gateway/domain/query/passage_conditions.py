"""Conditions that are decided on a passage itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.domain.passages import Passage
from gateway.domain.query.filters import AllOf, AnyOf, Comparison, Filter, MetadataContainedBy, MetadataContains, NoneOf, Phrase
from gateway.domain.strict_json import JsonValue

_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text as phrases compare them: without case, punctuation and differences of encoding."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def holds(condition: Filter, passage: Passage) -> bool:
    """Whether a passage satisfies a condition of `filters.split`'s second half. Takes time in proportion to the passage's text."""
    match condition:
        case Phrase(words):
            return f" {' '.join(words)} " in f" {' '.join(words_of(passage.text))} "
        case MetadataContains(value):
            return _contains(passage.metadata, value)
        case MetadataContainedBy(value):
            return _contains(value, passage.metadata)
        case AllOf(filters):
            return all(holds(each, passage) for each in filters)
        case AnyOf(filters):
            return any(holds(each, passage) for each in filters)
        case NoneOf(inner):
            return not holds(inner, passage)
        case Comparison(field):
            raise TypeError(f"A comparison of {field} is decided by the index.")


def _contains(whole: JsonValue | Mapping[str, JsonValue], part: JsonValue | Mapping[str, JsonValue]) -> bool:
    """Whether ``whole @> part``: objects by their keys, lists as sets, everything else by equality."""
    match whole, part:
        case Mapping(), Mapping():
            return all(key in whole and _contains(whole[key], value) for key, value in part.items())
        case (Sequence(), Sequence()) if not isinstance(whole, str) and not isinstance(part, str):
            return all(any(_contains(item, wanted) for item in whole) for wanted in part)
        case _:
            # True == 1 in Python, and not in JSON.
            return isinstance(whole, bool) == isinstance(part, bool) and whole == part
