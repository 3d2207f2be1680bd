"""The query language: what to look for and what it must satisfy, in one line.

    query       = { disjunction }
    disjunction = conjunction { "OR" conjunction }
    conjunction = negation { "AND" negation }
    negation    = [ "-" | "NOT" ] negation | "(" query ")" | field operator values | phrase | word

What stands side by side must all hold, and binds least, so that ``draft type:pdf OR type:docx`` means what it looks like. Words say what to
look for; everything else is a condition. ``docs/query-language.md`` shows what is read from what.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from typing import Final

from gateway.domain.query.fields import METADATA, Kind, canonical, compare, kind_of, unknown_field
from gateway.domain.query.filters import Filter, Operator, Phrase, Place, Subject, all_of, any_of, both, check_size, has_phrase, none_of
from gateway.domain.query.passage_conditions import words_of
from gateway.domain.query.tokens import Lexeme, Token, Value, tokenize
from gateway.domain.strict_json import JsonValue
from shared.errors import invalid_argument

MAX_DEPTH: Final = 8
MAX_COMPARISONS: Final = 100
_HAS: Final = "has"
_OPERATORS: Final = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_FLAGS: Final = {"true": True, "yes": True, "false": False, "no": False}
_AGO: Final = re.compile(r"([0-9]{1,5})([hdwmy])", re.IGNORECASE)
_UNITS: Final = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "m": timedelta(days=30),
    "y": timedelta(days=365),
}
# As alike as `autor` and `author`; `example.com` isn't like `metadata.com`.
_ALIKE: Final = 0.75
_AS_TEXT: Final = ' To look for it as text, put it in quotes, or send "literal": true.'


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """What a query means.

    Attributes:
        text: what to look for, without what was a condition.
        filter: what every passage found must satisfy.
    """

    text: str
    filter: Filter | None


def parse_query(source: str, field: str, now: datetime) -> ParsedQuery:
    """Read a query.

    Args:
        source: not blank.
        field: the part of the request that errors name.
        now: when dates such as ``7d`` are counted from, with its zone.

    Raises:
        AppError: UNKNOWN_FILTER_FIELD naming the nearest one; FILTER_INVALID saying what was expected at which character; FILTER_TOO_LARGE;
            QUERY_WITHOUT_WORDS when there are conditions alone.
    """
    part = _Parser(tokenize(source), Place(field, "The query"), now).query(0)
    text = " ".join(part.words).strip()
    if not text:
        message = "The query has conditions but nothing to look for. Add words that say what the passages should be about."
        raise invalid_argument("QUERY_WITHOUT_WORDS", message, field=field)
    if part.filter is not None:
        check_size(part.filter, Place(field, "The query"))
    return ParsedQuery(text, part.filter)


def parse_conditions(source: str, field: str, now: datetime) -> Filter | None:
    """Read a query that finds documents: conditions alone; None when it is blank.

    Raises:
        AppError: FILTER_WITH_WORDS naming what is no condition on a document, and what `parse_query` raises.
    """
    place = Place(field, "The query", Subject.DOCUMENTS)
    part = _Parser(tokenize(source), place, now).query(0)
    if part.words or (part.filter is not None and has_phrase(part.filter)):
        words = " ".join(part.words).strip() or "a word that must not be there"
        message = f"The query has words beside its conditions: {words!r}. Documents are found by conditions alone; search for words."
        raise invalid_argument("FILTER_WITH_WORDS", message, field=field)
    return part.filter and check_size(part.filter, place)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part of the query contributes.

    Attributes:
        words: what to look for.
        required: whether the words are those of phrases alone, which are also conditions.
    """

    words: tuple[str, ...] = ()
    filter: Filter | None = None
    required: bool = False


class _Parser:
    def __init__(self, lexemes: Sequence[Lexeme], whole: Place, now: datetime) -> None:
        self._lexemes = lexemes
        self._next = 0
        self._comparisons = 0
        self._whole = whole
        self._now = now

    def query(self, depth: int) -> _Part:
        parts = []
        while (lexeme := self._peek()) is not None and lexeme.token is not Token.CLOSE:
            parts.append(self._disjunction(depth))
        return _joined(parts)

    def _disjunction(self, depth: int) -> _Part:
        parts = [self._conjunction(depth)]
        operator = None
        while self._at_joint(Token.OR):
            operator = self._take()
            parts.append(self._conjunction(depth))
        joined = _joined(parts)
        if operator is None or joined.filter is None:
            return joined
        place = self._place(operator, "OR")
        filters = tuple(part.filter for part in parts if part.filter is not None and (part.required or not part.words))
        if len(filters) < len(parts):
            raise place.invalid("needs conditions on both sides: words alone are none; put those that must be there in quotes")
        return _Part(joined.words, any_of(filters, place), joined.required)

    def _conjunction(self, depth: int) -> _Part:
        parts = [self._negation(depth)]
        while self._at_joint(Token.AND):
            self._take()
            parts.append(self._negation(depth))
        return _joined(parts)

    def _negation(self, depth: int) -> _Part:
        lexeme = self._take()
        if lexeme.token is Token.NOT and self._can_begin(self._peek()):
            place = self._deeper(lexeme, depth)
            inner = self._negation(depth + 1)
            # A word that must not be there is a condition; a phrase is one already.
            words = () if inner.required else tuple(_phrase(word) for word in inner.words)
            negated = both(*words, inner.filter)
            return _Part(filter=none_of(negated, place) if negated is not None else None)
        return self._primary(lexeme, depth)

    def _primary(self, lexeme: Lexeme, depth: int) -> _Part:
        match lexeme.token:
            case Token.OPEN:
                self._deeper(lexeme, depth)
                inner = self.query(depth + 1)
                self._take()
                return inner
            case Token.PHRASE:
                phrase = _phrase(lexeme.text)
                return _Part((lexeme.text,), phrase, required=phrase is not None)
            case Token.FIELD:
                return self._condition(lexeme)
            case _:
                return _Part((lexeme.text,))

    def _condition(self, lexeme: Lexeme) -> _Part:
        place = self._place(lexeme, repr(lexeme.name))
        name = lexeme.name if lexeme.name == _HAS else canonical(lexeme.name)
        if name is None:
            head, dot, _ = lexeme.name.partition(".")
            if dot and SequenceMatcher(None, head, METADATA).ratio() < _ALIKE:
                return _Part((lexeme.text,))
            raise unknown_field(lexeme.name, place, f" It stands at character {lexeme.position}.{_AS_TEXT}")
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise place.too_large(f"is one condition more than the {MAX_COMPARISONS} that a query may have")
        if not lexeme.closed:
            raise place.invalid("has a set without its end; a ')' was expected")
        if not lexeme.values:
            raise place.invalid(f"needs a value; {_expected(name, place)} was expected")
        if name == _HAS:
            return _Part(filter=self._has(lexeme, place))
        return _Part(filter=_Condition(name, kind_of(name, place), place, self._now).read(lexeme.operator, lexeme.values))

    def _has(self, lexeme: Lexeme, place: Place) -> Filter:
        if lexeme.operator != ":":
            raise place.invalid(f"takes ':' and metadata keys, not {lexeme.operator!r}")
        keys = [METADATA + value.text for value in lexeme.values]
        return any_of(tuple(compare(key, Operator.EXISTS.value, operand=True, place=place) for key in keys), place)

    def _peek(self) -> Lexeme | None:
        return self._lexemes[self._next] if self._next < len(self._lexemes) else None

    def _take(self) -> Lexeme:
        self._next += 1
        return self._lexemes[self._next - 1]

    def _at_joint(self, token: Token) -> bool:
        """Whether an operator stands next that has something behind it; else it is a word like any other."""
        lexeme = self._peek()
        following = self._lexemes[self._next + 1] if self._next + 1 < len(self._lexemes) else None
        return lexeme is not None and lexeme.token is token and self._can_begin(following)

    @staticmethod
    def _can_begin(lexeme: Lexeme | None) -> bool:
        return lexeme is not None and lexeme.token is not Token.CLOSE

    def _deeper(self, lexeme: Lexeme, depth: int) -> Place:
        place = self._place(lexeme, repr(lexeme.text))
        if depth >= MAX_DEPTH:
            raise place.too_large(f"is nested deeper than {MAX_DEPTH} levels")
        return place

    def _place(self, lexeme: Lexeme, name: str) -> Place:
        return Place(self._whole.field, f"{name} at character {lexeme.position} of the query", self._whole.subject)


class _Condition:
    """Reads one field's values as the field's kind has them."""

    def __init__(self, name: str, kind: Kind, place: Place, now: datetime) -> None:
        self._name = name
        self._kind = kind
        self._place = place
        self._now = now

    def read(self, operator: str, values: Sequence[Value]) -> Filter:
        """The condition that ``values``, of which there is at least one, state."""
        if operator in _OPERATORS:
            if len(values) > 1:
                raise self._place.invalid("takes one value after < <= > >=")
            return self._ordered(_OPERATORS[operator], values[0].text, values[0])
        if operator == "!=":
            return none_of(self.read(":", values), self._place)
        ranged = [value for value in values if not value.quoted and ".." in value.text]
        if len(values) == 1 and ranged:
            return self._range(values[0])
        if ranged or (len(values) > 1 and any(self._ago(value) for value in values)):
            raise self._place.invalid("has a span of time or of numbers in a set; join spans by OR")
        return self._equal(values)

    def _equal(self, values: Sequence[Value]) -> Filter:
        if len(values) == 1 and (since := self._ago(values[0])):
            return compare(self._name, "$gte", since, self._place)
        operands = [operand for value in values for operand in self._operands(value)]
        if len(operands) == 1:
            return compare(self._name, "$eq", operands[0], self._place)
        return compare(self._name, "$in", operands, self._place)

    def _range(self, value: Value) -> Filter:
        low, _, high = value.text.partition("..")
        ends = [self._ordered(operator, text, value) for operator, text in (("$gte", low), ("$lte", high)) if text]
        if not ends:
            raise self._place.invalid("has a span without ends; write it as 2020..2021, 2020.. or ..2021")
        return all_of(ends)

    def _ordered(self, operator: str, text: str, value: Value) -> Filter:
        written = Value(text, value.quoted)
        operand = self._ago(written) or self._operands(written)[0]
        return compare(self._name, operator, operand, self._place)

    def _operands(self, value: Value) -> list[JsonValue]:
        """What the value can mean: metadata may hold 7 as a number and as a string."""
        text = value.text
        match self._kind:
            case Kind.TIME:
                return [self._day(text)]
            case Kind.FLAG:
                return [_FLAGS.get(text.lower(), text)]
            case Kind.FREE if not value.quoted and NUMBER.fullmatch(text):
                return [float(text) if "." in text else int(text), text]
            case Kind.FREE if not value.quoted and text in {"true", "false"}:
                return [_FLAGS[text], text]
            case _:
                return [text]

    def _day(self, text: str) -> str:
        days = {"today": 0, "yesterday": 1}.get(text.lower())
        return text if days is None else f"{(self._now.astimezone(UTC) - timedelta(days=days)).date()}"

    def _ago(self, value: Value) -> str | None:
        """The time that ``7d`` names; None for anything else."""
        match = _AGO.fullmatch(value.text) if self._kind is Kind.TIME and not value.quoted else None
        if match is None:
            return None
        try:
            return (self._now - int(match[1]) * _UNITS[match[2].lower()]).isoformat()
        except OverflowError:
            raise self._place.invalid(f"counts further back than there are years: {value.text}") from None


def _joined(parts: Sequence[_Part]) -> _Part:
    words = tuple(word for part in parts for word in part.words)
    return _Part(words, both(*(part.filter for part in parts)), required=all(part.required or not part.words for part in parts))


def _phrase(text: str) -> Phrase | None:
    words = words_of(text)
    return Phrase(words) if words else None


def _expected(name: str, place: Place) -> str:
    return "a metadata key" if name == _HAS else kind_of(name, place).value
