"""Hostile queries and filters on their whole way, from a request to the expression as the store reads it, and to what it then finds."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_lite.search.filter import parse_expr

import embedder.convert
from embedder.adapters.memory_index import MemoryIndex
from embedder.adapters.milvus import expressions
from embedder.adapters.milvus.index import MilvusIndex
from embedder.domain.encoding import EncoderSpec
from embedder.domain.filters import FIELDS, FieldType, Scope, microseconds
from embedder.domain.passages import IndexedPassage, Passage, PassageAttributes
from gateway.domain.query.filters import AllOf, AnyOf, Comparison, Filter, NoneOf, Operator, split
from gateway.domain.query.reading import read
from gateway.filter_messages import from_filter
from lectern.embedder.v1 import index_pb2
from shared.errors import AppError, Status

OWN, FOREIGN = "org_own", "org_foreign"
SPEC = EncoderSpec("attacks", "0" * 64, 4, 256, normalised=False)
SIGNS = {Operator.EQUAL: "==", Operator.LESS: "<", Operator.LESS_OR_EQUAL: "<=", Operator.GREATER: ">", Operator.GREATER_OR_EQUAL: ">="}
EXAMPLES = [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]

attacks = [
    '" or organisation_id != "',
    '") or (true) or ("',
    "\\",
    '\\" or 1 == 1 or "',
    '"] == 1 or organisation_id == "org_foreign" or metadata["x',
    "' or '1'=='1",
    "a) OR organisation_id:org_foreign",
    "{filter}",
    "%s%n",
    "$meta",
    "x\n or true",
    "\u2028\u202e\ufeff\u0085",
    "１＝１",
    "ＯＲ",
    "//",
    "/* */",
    "--",
    "null",
    "true",
    "-1e308",
    "in [1]",
    "exists organisation_id",
    "..",
    "row_key",
    "organisation_id",
    "access_set_id",
]
texts = st.sampled_from(attacks) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
dates = st.sampled_from(["2021", "2021-02", "2021.02.03", "2021-02-03T04:05:06.789+01:00"]) | texts
fields = st.sampled_from(["type", "author", "document_id", "collection_id", "connection"]) | texts | texts.map("metadata.{}".format)
operators = st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"])
comparisons = (
    st.dictionaries(fields, texts, min_size=1, max_size=2)
    | st.dictionaries(texts.map("metadata.{}".format), st.dictionaries(operators, texts | numbers, min_size=1, max_size=2), min_size=1)
    | st.dictionaries(fields, st.fixed_dictionaries({"$in": st.lists(texts, min_size=1, max_size=3)}), min_size=1, max_size=2)
    | st.dictionaries(st.sampled_from(["created", "update_time"]), st.dictionaries(operators, dates, min_size=1), min_size=1)
    | st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"$has_any_keys": st.lists(texts, min_size=1, max_size=3)})})
    | st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"$contains": st.dictionaries(texts, texts | numbers, max_size=2)})})
)
filters = st.recursive(
    comparisons,
    lambda inner: (
        st.fixed_dictionaries({"$not": inner})
        | st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=5,
)
quoted = texts.map(lambda text: f'"{escaped(text)}"')
values = texts | quoted
written = (
    st.builds("{}{}{}".format, fields, st.sampled_from([":", ">=", "<", "!=", ":(", "="]), values)
    | st.builds("-has:{}".format, values)
    | st.builds("{}..{}".format, fields.map("{}:".format), values)
    | values
)
queries = st.lists(written, min_size=1, max_size=4).map(lambda parts: "look " + " ".join(parts))


def scope_of(query: str, source: dict[str, Any]) -> tuple[Filter | None, Scope] | None:
    """What a request becomes at the gateway, and at the embedder after the wire; None when it is refused as it should be."""
    try:
        text, condition = read(query, "body.query", source, literal=False)
    except AppError as error:
        if error.status is Status.INVALID_ARGUMENT:
            return None
        raise
    in_index, _ = split(condition)
    message = index_pb2.SearchRequest(query=text, limit=10, filter=None if in_index is None else from_filter(in_index))
    sent = index_pb2.SearchRequest.FromString(message.SerializeToString())
    return in_index, embedder.convert.search_request(sent, None).scope


def meaning(condition: Filter, *, negated: bool = False) -> Any:
    """A condition as nested tuples, of which chains are flat. What a negation is about says of a key that it is there."""
    match condition:
        case AllOf(parts):
            return flat("and", [meaning(part, negated=negated) for part in parts])
        case AnyOf(parts):
            return flat("or", [meaning(part, negated=negated) for part in parts])
        case NoneOf(inner):
            return ("not", meaning(inner, negated=True))
        case Comparison(field, operator, operands):
            stated = compared(field, operator, list(operands))
            if negated and field.startswith("metadata.") and operator is not Operator.EXISTS:
                return flat("and", [compared(field, Operator.EXISTS, []), stated])
            return stated
        case _:
            raise AssertionError(condition)


def compared(field: str, operator: Operator, operands: list[Any]) -> Any:
    if field.startswith("metadata."):
        path = ("metadata", field.removeprefix("metadata."))
        if operator is Operator.EXISTS:
            return ("exists", path)
        sign = SIGNS.get(operator, "==")
        return flat("or", [(sign, path, value) for value in operands])
    if operator is Operator.IN:
        return ("in", field, operands)
    if FIELDS[field] is FieldType.TIME:
        moment = microseconds(datetime.fromisoformat(operands[0]))
        return flat("and", [(">", field, expressions.NO_TIME), (SIGNS[operator], field, moment)])
    return (SIGNS[operator], field, operands[0])


def understood(expression: Any) -> Any:
    """A parsed expression in the form of `meaning`."""
    match type(expression).__name__:
        case "And" | "Or" as name:
            return flat(name.lower(), [understood(part) for part in expression.operands])
        case "Not":
            return ("not", understood(expression.operand))
        case "IsNullOp":
            return ("exists", column(expression.field))
        case "InOp":
            return ("in", column(expression.field), [each.value for each in expression.values.elements])
        case _:
            return (expression.op, column(expression.left), expression.right.value)


def column(reference: Any) -> Any:
    return reference.name if type(reference).__name__ == "FieldRef" else (reference.base.name, *reference.path)


def flat(name: str, parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return (name, *(inner for part in parts for inner in (part[1:] if part[0] == name else [part])))


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("attack", [st.tuples(queries, st.just({})), st.tuples(st.just("look"), filters)], ids=["query", "filter"])
def test_an_expression_says_what_was_asked_and_nothing_else(attack: st.SearchStrategy[tuple[str, dict[str, Any]]], examples: int) -> None:
    accepted = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(attack)
    def try_it(request: tuple[str, dict[str, Any]]) -> None:
        nonlocal accepted
        if (scopes := scope_of(*request)) is None:
            return
        condition, scope = scopes
        whole = understood(parse_expr(expressions.of_scope(OWN, scope)))
        bounds = [("==", "organisation_id", OWN), ("in", "access_set_id", [0])]
        assert whole == flat("and", bounds if condition is None else [*bounds, meaning(condition)])
        accepted += condition is not None

    try_it()
    assert accepted > examples / 10, "the attacks must reach the parser"


def row(passage_id: str, value: str) -> IndexedPassage:
    """A passage that has ``value`` in every place that a filter can ask for."""
    moment = microseconds(datetime.fromisoformat("2021-02-03T04:05:06Z"))
    attributes = PassageAttributes(
        collection_id=value,
        connection_id=value,
        type=value.lower(),
        author=value,
        create_time=moment,
        update_time=moment,
        metadata={value: value, "x": value},
    )
    passage = Passage(passage_id=passage_id, document_id=value, generation=1, text="text", attributes=attributes)
    return IndexedPassage(passage, np.array([1, 0, 0, 0], dtype=np.float32), "look")


@pytest.fixture
async def stores(milvus_uri: str) -> AsyncIterator[tuple[MilvusIndex, MemoryIndex]]:
    milvus, memory = MilvusIndex(milvus_uri, "", f"attacks_{secrets.token_hex(4)}", SPEC), MemoryIndex()
    for store in (milvus, memory):
        for organisation in (OWN, FOREIGN):
            await store.upsert(organisation, [row(f"{organisation}-{number}", value) for number, value in enumerate(attacks)])
    yield milvus, memory
    await milvus.close()


async def test_milvus_finds_what_a_plain_evaluation_finds_and_nothing_of_another_organisation(
    stores: tuple[MilvusIndex, MemoryIndex],
) -> None:
    milvus, memory = stores
    found_any = 0
    for query, source in requests():
        if (scopes := scope_of(query, source)) is None:
            continue
        vector = np.array([1, 0, 0, 0], dtype=np.float32)
        found, expected = [
            {candidate.passage_id for candidate in await store.search_dense(OWN, vector, scopes[1], 1000)} for store in (milvus, memory)
        ]
        assert found == expected, (query, source)
        assert not any(passage_id.startswith(FOREIGN) for passage_id in found)
        found_any += 0 < len(found) < len(attacks)
    assert found_any > len(attacks), "the attacks' own values must be found"


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every hostile value in every place, asked for and excluded."""
    shapes: list[Callable[[str], tuple[str, dict[str, Any]]]] = [
        lambda value: ("look", {"author": value}),
        lambda value: ("look", {"$not": {"document_id": {"$in": [value, "other"]}}}),
        lambda value: ("look", {f"metadata.{value}": {"$in": [value, 1]}}),
        lambda value: ("look", {"$or": [{"metadata": {"$has_key": value}}, {"metadata.x": value}], "created": {"$lte": "2021"}}),
        lambda value: (f'look type:"{escaped(value)}" OR connection:("{escaped(value)}" other)', {}),
        lambda value: (f'look meta.x:"{escaped(value)}" -author:other updated<=2021.02.03', {}),
    ]
    for value in attacks:
        for shape in shapes:
            yield shape(value)


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
