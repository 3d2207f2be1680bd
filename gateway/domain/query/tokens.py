"""The query language's tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.domain.query.fields import ALIASES, FIELDS, Kind


class Token(Enum):
    WORD = "word"
    PHRASE = "phrase"
    FIELD = "field"
    AND = "AND"
    OR = "OR"
    NOT = "NOT"
    OPEN = "("
    CLOSE = ")"


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is written.

    Attributes:
        quoted: whether it was, and therefore is nothing but a string.
    """

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A token with its place.

    Attributes:
        text: as it is written; of a phrase, what stands between its quotes.
        position: of its first character, from 1.
        name: for a field, the one that is written.
        operator: for a field: ``:``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        values: for a field; several of a set, and none where nothing that could be one follows.
        closed: false for a set without its closing parenthesis.
    """

    token: Token
    text: str
    position: int
    name: str = ""
    operator: str = ""
    values: tuple[Value, ...] = ()
    closed: bool = True


_METADATA: Final = r"(?:meta|(?:collection_)?metadata)\.[\w.-]*\w"
_KNOWN: Final = "|".join([*FIELDS, *ALIASES, "has", _METADATA])
_ORDERED: Final = "|".join([*(name for name in (*FIELDS, *ALIASES) if FIELDS[ALIASES.get(name, name)] is Kind.TIME), _METADATA])
_NAME: Final = r"[^\W\d]\w+(?:\.[\w.-]*\w)?"
_OPERATOR: Final = r":?(?:<=|>=|<|>)|!=|==|[:=]"
# What makes `name:` a condition: something follows at once that isn't part of `http://`, `std::sort`, `=>` and the like.
_FOLLOWED: Final = r"(?![\s:=<>/\\)]|$)"
_CONDITION: Final = rf"(?P<name>{_NAME})(?P<operator>{_OPERATOR}){_FOLLOWED}"
# Around `<`, `<=`, `>` and `>=` people write spaces; only what has an order is then taken for a field.
_SPACED: Final = rf"(?P<known>{_ORDERED})\s+(?P<order><=|>=|<|>)\s*{_FOLLOWED}"
_PARAMETER: Final = rf"[?&](?={_NAME}(?:{_OPERATOR}){_FOLLOWED})"
_KNOWN_PARAMETER: Final = rf"\?(?:{_KNOWN})(?:{_OPERATOR}){_FOLLOWED}"
# The lengths bound the time that quotes without an end can take.
_QUOTED: Final = r'"(?:[^"\\]|\\.){0,2000}"|“[^”]{0,2000}”|«[^»]{0,2000}»'
_LEXEME: Final = re.compile(
    rf"""(?P<url>[a-z][a-z0-9+.-]*://\S+)
    |{_PARAMETER}
    |(?P<quoted>{_QUOTED})
    |(?P<combination>(?:AND|OR|NOT)(?!\S))
    |(?P<minus>-(?=[^\W\d_]|["“«(]))
    |{_SPACED}|{_CONDITION}
    |(?P<open>\()|(?P<close>\))
    |(?P<word>(?:(?!{_KNOWN_PARAMETER})(?:[^\s()]|\([^\s()]{{0,200}}\)))+)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_BARE: Final = re.compile(rf'(?:(?!{_PARAMETER})[^\s(),"“«])+', re.IGNORECASE)
_QUOTED_VALUE: Final = re.compile(_QUOTED, re.DOTALL)
_BETWEEN: Final = re.compile(r"[\s,]*")
# The end of a sentence isn't the end of a value.
_PUNCTUATION: Final = re.compile(r"[;?!]+$|(?<!\.)\.$")


def tokenize(text: str) -> list[Lexeme]:
    """The tokens of a query; parentheses without a partner are left out."""
    lexemes = list(_lexemes(text))
    opened: list[int] = []
    paired: set[int] = set()
    for index, lexeme in enumerate(lexemes):
        if lexeme.token is Token.OPEN:
            opened.append(index)
        elif lexeme.token is Token.CLOSE and opened:
            paired |= {opened.pop(), index}
    return [each for index, each in enumerate(lexemes) if each.token not in {Token.OPEN, Token.CLOSE} or index in paired]


def _lexemes(text: str) -> Iterator[Lexeme]:
    at = _skip(_SPACE, text, 0)
    while at < len(text):
        match = _LEXEME.match(text, at)
        assert match is not None, "every character begins a token"
        lexeme, at = _field(text, match) if match["name"] or match["known"] else (_plain(match), match.end())
        if lexeme is not None:
            yield lexeme
        at = _skip(_SPACE, text, at)


def _plain(match: re.Match[str]) -> Lexeme | None:
    position = match.start() + 1
    match match.lastgroup:
        case "quoted":
            return Lexeme(Token.PHRASE, _unquoted(match[0]), position)
        case "combination" if match[0].isupper():
            return Lexeme(Token(match[0]), match[0], position)
        case "minus":
            return Lexeme(Token.NOT, match[0], position)
        case "open" | "close":
            return Lexeme(Token(match[0]), match[0], position)
        case None:
            return None
        case _:
            return Lexeme(Token.WORD, match[0], position)


def _field(text: str, match: re.Match[str]) -> tuple[Lexeme, int]:
    written = (match["operator"] or match["order"]).removeprefix(":") or ":"
    values, end, closed = _set(text, match.end() + 1) if text.startswith("(", match.end()) else _list(text, match.end())
    lexeme = Lexeme(
        Token.FIELD,
        text[match.start() : end],
        match.start() + 1,
        name=_lowered(match["name"] or match["known"]),
        operator=":" if written in {"=", "=="} else written,
        values=tuple(value for value in values if value.text or value.quoted),
        closed=closed,
    )
    return lexeme, end


def _lowered(name: str) -> str:
    """Fields are named in any case; metadata keys are the documents' own."""
    head, dot, key = name.partition(".")
    return f"{head.lower()}{dot}{key}"


def _list(text: str, at: int) -> tuple[list[Value], int, bool]:
    """Values that nothing but commas stand between."""
    values: list[Value] = []
    while (item := _item(text, at)) is not None:
        value, at = item
        values.append(value)
        if not text.startswith(",", at):
            break
        at += 1
    if values and not values[-1].quoted:
        values[-1] = Value(_PUNCTUATION.sub("", values[-1].text), quoted=False)
    return values, at, True


def _set(text: str, at: int) -> tuple[list[Value], int, bool]:
    values: list[Value] = []
    at = _skip(_BETWEEN, text, at)
    while (item := _item(text, at)) is not None:
        value, at = item
        values.append(value)
        at = _skip(_BETWEEN, text, at)
    closed = text.startswith(")", at)
    return values, at + closed, closed


def _item(text: str, at: int) -> tuple[Value, int] | None:
    if quoted := _QUOTED_VALUE.match(text, at):
        return Value(_unquoted(quoted[0]), quoted=True), quoted.end()
    if bare := _BARE.match(text, at):
        return Value(bare[0], quoted=False), bare.end()
    return None


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if text[0] == '"' else inner


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    skipped = pattern.match(text, at)
    assert skipped is not None
    return skipped.end()
