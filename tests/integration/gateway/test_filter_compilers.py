"""What a filter finds, as both stores decide it: hostile filters over rows that hold the same values, against a plain evaluation."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embedder.convert
from embedder.adapters.milvus.index import MilvusIndex
from embedder.domain.encoding import EncoderSpec
from embedder.domain.filters import microseconds
from embedder.domain.passages import IndexedPassage, Passage, PassageAttributes
from gateway.domain.query.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    MetadataContainedBy,
    MetadataContains,
    NoneOf,
    Operator,
    Subject,
    split,
)
from gateway.domain.query.json_filter import compile_filter
from gateway.filter_messages import from_filter
from ingestor.adapters.postgres.database import open_database
from ingestor.adapters.postgres.document_filters import condition as sql_condition
from ingestor.adapters.postgres.documents import PostgresDocuments
from ingestor.filter_messages import to_filter
from ingestor.migrations import FOLDER, SCHEMA
from lectern.embedder.v1 import index_pb2
from lectern.filter.v1 import filter_pb2
from shared.errors import AppError, Status
from shared.migrations import Migrations

OWN, FOREIGN = "org_own", "org_foreign"
SPEC = EncoderSpec("compilers", "0" * 64, 4, 256, normalised=False)
EPOCH = datetime(2021, 1, 1, tzinfo=UTC)
EXAMPLES = [200, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]

HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE library.document; --",
    '" or organisation_id != "',
    "$1",
    "$2::text) OR true OR ($1",
    "\\' OR 1=1 --",
    "%",
    "_",
    "org_foreign",
    "{}",
    "d.organisation_id",
    "\\u0041",
    "é",
    "\u2028\u202e",
    "1",
    "",
]
VALUES: list[Any] = [*HOSTILE, 1, 0, -1.5, 2**53 - 1, 0.1, 1e300, True, False, "a", "b", "B"]
# Neither store takes these in a key, so they are no keys of a document that can be asked for.
KEYS = [key for key in HOSTILE if key and not set(key) & set("\"'\\")] + ["k", "x"]


@dataclass(frozen=True)
class Row:
    """A document, and its one passage."""

    document_id: str
    fields: Mapping[str, str | bool | datetime]
    metadata: Mapping[str, Any]
    collection_metadata: Mapping[str, Any]


def rows() -> list[Row]:
    """Each value under several keys and in the fields, some keys missing, some null, some with lists and objects."""
    made = []
    for number, value in enumerate(VALUES):
        text = value if isinstance(value, str) else "plain"
        metadata = {KEYS[number % len(KEYS)]: value, "k": VALUES[(number * 7) % len(VALUES)]}
        if number % 3 == 0:
            metadata["x"] = [None, [value, "a"], {"a": value, "b": {"c": [1, 2]}}][number % 9 // 3]
        created = EPOCH + timedelta(days=number)
        fields: dict[str, str | bool | datetime] = {
            "document_id": f"doc{number}",
            "collection_id": f"col{number % 2}",
            "connection_id": "",
            "type": ["pdf", "docx", text.lower()][number % 3],
            "author": text,
            "language": "en",
            "create_time": created,
            "update_time": created,
            "outdated": False,
        }
        made.append(Row(f"doc{number}", fields, metadata, {"owner": "ann", "k": number % 2}))
    return made


ROWS = rows()

keys = st.sampled_from(KEYS)
values = st.sampled_from(VALUES)
texts = st.sampled_from([value for value in VALUES if isinstance(value, str)])
operators = st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"])
dates = st.sampled_from(["2021", "2021-01", "2021-01-03", "2021-01-09T00:00:00Z", "1999-12-31T23:59:59.999999+14:00"])
nested = st.recursive(
    values | st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)
whose = st.sampled_from(["metadata", "collection_metadata"])
conditions = (
    st.dictionaries(st.sampled_from(["type", "author", "document_id", "collection_id"]), texts | st.just("pdf"), min_size=1, max_size=2)
    | st.builds(lambda field, value: {field: {"$in": value}}, st.sampled_from(["type", "author"]), st.lists(texts, min_size=1, max_size=3))
    | st.builds(lambda owner, key, operator, value: {f"{owner}.{key}": {operator: value}}, whose, keys, operators, values)
    | st.builds(lambda owner, key, value: {f"{owner}.{key}": {"$in": value}}, whose, keys, st.lists(values, min_size=1, max_size=3))
    | st.builds(lambda owner, key, there: {f"{owner}.{key}": {"$exists": there}}, whose, keys, st.booleans())
    | st.builds(lambda field, operator, date: {field: {operator: date}}, st.sampled_from(["created", "updated"]), operators, dates)
    | st.builds(lambda flag: {"outdated": flag}, st.booleans())
    | st.builds(
        lambda owner, lookup, value: {owner: {lookup: value}},
        whose,
        st.sampled_from(["$contains", "$contained_by"]),
        st.dictionaries(keys, nested, max_size=3),
    )
    | st.builds(lambda owner, wanted: {owner: {"$has_any_keys": wanted}}, whose, st.lists(keys, min_size=1, max_size=3))
)
filters = st.recursive(
    conditions,
    lambda inner: (
        st.builds(lambda part: {"$not": part}, inner)
        | st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=5,
)


@dataclass(frozen=True)
class Dialect:
    """How a store departs from what a filter means.

    Attributes:
        unlike: what it takes for the order of values of different kinds; None for unknown, whose negation is unknown too.
        flags: the kind of true and false; Milvus Lite takes them for the numbers 1 and 0.
    """

    unlike: bool | None = False
    flags: str = "flag"


EXACT, LITE = Dialect(), Dialect(unlike=None, flags="number")


def satisfies(filter_: Filter, row: Row, dialect: Dialect = EXACT) -> bool:
    """What a filter means, in Python."""
    return evaluated(filter_, row, dialect) is True


def evaluated(filter_: Filter, row: Row, dialect: Dialect) -> bool | None:
    """In Kleene's logic: what hangs on something unknown is unknown."""
    match filter_:
        case AllOf(parts) | AnyOf(parts):
            held = {evaluated(part, row, dialect) for part in parts}
            decisive = isinstance(filter_, AnyOf)
            return decisive if decisive in held else None if None in held else not decisive
        case NoneOf(inner):
            value = evaluated(inner, row, dialect)
            return None if value is None else not value
        case MetadataContains(value, field):
            return contains(getattr(row, field), value)
        case MetadataContainedBy(value, field):
            return contains(value, getattr(row, field))
        case Comparison(field, operator, operands):
            return compared(held_by(row, field), operator, operands, dialect)
        case _:
            raise AssertionError(filter_)


def held_by(row: Row, field: str) -> Any:
    name, dot, key = field.partition(".")
    return getattr(row, name).get(key) if dot else row.fields[field]


def compared(held: Any, operator: Operator, operands: Sequence[Any], dialect: Dialect) -> bool | None:
    if held is None or operator is Operator.EXISTS:
        return held is not None
    if operator in {Operator.EQUAL, Operator.IN}:
        return any(kind(held, dialect) == kind(operand, dialect) and held == typed(operand, held) for operand in operands)
    signs: dict[Operator, Callable[[Any, Any], bool]] = {
        Operator.LESS: lambda one, other: one < other,
        Operator.LESS_OR_EQUAL: lambda one, other: one <= other,
        Operator.GREATER: lambda one, other: one > other,
        Operator.GREATER_OR_EQUAL: lambda one, other: one >= other,
    }
    operand = typed(operands[0], held)
    alike = kind(held, dialect) == kind(operand, dialect) != "flag"
    return signs[operator](held, operand) if alike else dialect.unlike


def typed(operand: Any, held: Any) -> Any:
    return datetime.fromisoformat(operand) if isinstance(held, datetime) else operand


def kind(value: Any, dialect: Dialect) -> str:
    known = {bool: dialect.flags, int: "number", float: "number", str: "text", datetime: "text"}
    return known.get(type(value), "whole")


def contains(whole: Any, part: Any) -> bool:
    """What PostgreSQL's page on ``jsonb`` says of containment, but for the exception that it makes at the top."""
    if isinstance(whole, Mapping) and isinstance(part, Mapping):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(contains(item, wanted) for item in whole) for wanted in part)
    return isinstance(whole, bool) == isinstance(part, bool) and bool(whole == part)


def compiled(source: dict[str, Any], subject: Subject) -> Filter | None:
    """The filter, or None when it is refused as it should be."""
    try:
        return compile_filter(source, subject)
    except AppError as error:
        if error.status is Status.INVALID_ARGUMENT:
            return None
        raise


def sent(filter_: Filter) -> filter_pb2.Filter:
    return filter_pb2.Filter.FromString(from_filter(filter_).SerializeToString())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_statement_is_made_of_the_compilers_own_words_and_numbered_values(examples: int) -> None:
    own_words = re.compile(
        r"\(|\)|, | -> | #>> '\{\}'| @> | <@ | AND | OR |NOT |ANY|<>|<=|>=|<|>|=| |\$\d+|::text|::jsonb|::timestamptz|::boolean|\[\]|''"
        r"|'null'|'string'|'number'|coalesce|jsonb_typeof|COLLATE \"C\"|true|false|[dc]\.metadata|d\.\w+_id|d\.type|d\.author|d\.language"
        r"|g\.source_(?:create|update)_time|d\.(?:create|update)_time"
    )
    reached = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(filters)
    def try_it(source: dict[str, Any]) -> None:
        nonlocal reached
        if (filter_ := compiled(source, Subject.DOCUMENTS)) is None:
            return
        parameters: list[Any] = ["the organisation"]
        text = sql_condition(to_filter(sent(filter_)), parameters)
        assert own_words.sub("", text) == "", text
        numbers = [int(number) for number in re.findall(r"\$(\d+)", text)]
        assert set(numbers) == set(range(2, len(parameters) + 1))
        reached += len(parameters) > 1

    try_it()
    assert reached > examples / 2


@pytest.fixture
async def documents(database_url: str) -> AsyncIterator[PostgresDocuments]:
    """The rows as documents of two organisations."""
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    connection = await asyncpg.connect(database_url)
    for organisation in (OWN, FOREIGN):
        for number in range(2):
            await connection.execute(
                "INSERT INTO library.collection (collection_id, organisation_id, name, description, metadata, passage_tokens) "
                "VALUES ($1, $2, $1, '', $3, 0)",
                ("" if organisation == OWN else "foreign_") + f"col{number}",
                organisation,
                json.dumps(ROWS[number].collection_metadata),
            )
        prefix = "" if organisation == OWN else "foreign_"
        await connection.executemany(
            "INSERT INTO library.document (document_id, organisation_id, collection_id, identity, external_id, name, uri, metadata, state, "
            "type, author, language, create_time, update_time) VALUES ($1, $2, $3, $1, '', $1, '', $4, 'READY', $5, $6, $7, $8, $8)",
            [
                (
                    prefix + row.document_id,
                    organisation,
                    prefix + str(row.fields["collection_id"]),
                    json.dumps(row.metadata),
                    *(row.fields[name] for name in ("type", "author", "language", "create_time")),
                )
                for row in ROWS
            ],
        )
    await connection.close()
    async with open_database(database_url, max_connections=2) as database:
        yield PostgresDocuments(database)


@pytest.fixture
async def index(milvus_uri: str) -> AsyncIterator[MilvusIndex]:
    """The rows as passages of two organisations."""
    milvus = MilvusIndex(milvus_uri, "", f"compilers_{secrets.token_hex(4)}", SPEC)
    for organisation in (OWN, FOREIGN):
        await milvus.upsert(organisation, [passage(row, "" if organisation == OWN else "foreign_") for row in ROWS])
    yield milvus
    await milvus.close()


def passage(row: Row, prefix: str) -> IndexedPassage:
    fields: dict[str, Any] = {name: value for name, value in row.fields.items() if name not in {"document_id", "collection_id"}}
    moments: dict[str, Any] = {name: microseconds(fields.pop(name)) for name in ("create_time", "update_time")}
    attributes = PassageAttributes(collection_id=prefix + str(row.fields["collection_id"]), metadata=row.metadata, **fields, **moments)
    held = Passage(passage_id=row.document_id, document_id=prefix + row.document_id, generation=1, text="text", attributes=attributes)
    return IndexedPassage(held, np.array([1, 0, 0, 0], dtype=np.float32), "look")


async def for_each(examples: int, try_it: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Run a coroutine for many filters; Hypothesis knows functions alone, so it stands in a thread beside the loop."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(filters)
    def run(source: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(try_it(source)), loop).result(timeout=60)

    await asyncio.to_thread(run)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


@pytest.mark.parametrize("examples", EXAMPLES)
async def test_postgres_finds_what_a_plain_evaluation_finds_and_nothing_of_another_organisation(
    documents: PostgresDocuments, examples: int
) -> None:
    some = 0

    async def try_it(source: dict[str, Any]) -> None:
        nonlocal some
        if (filter_ := compiled(source, Subject.DOCUMENTS)) is None:
            return
        found = await documents.filtered(OWN, to_filter(sent(filter_)), collection_ids=(), after=None, limit=1000)
        expected = [row.document_id for row in ROWS if satisfies(filter_, row)]
        assert [document.document_id for document in found] == expected
        some += 0 < len(expected) < len(ROWS)

    await for_each(examples, try_it)
    assert some > examples / 5, "the filters must tell rows apart"
    assert len(await documents.filtered(FOREIGN, None, collection_ids=(), after=None, limit=1000)) == len(ROWS), "nothing was harmed"


@pytest.mark.parametrize("examples", EXAMPLES)
async def test_milvus_finds_what_a_plain_evaluation_finds_and_nothing_of_another_organisation(index: MilvusIndex, examples: int) -> None:
    some = 0
    towards = np.array([1, 0, 0, 0], dtype=np.float32)

    async def try_it(source: dict[str, Any]) -> None:
        nonlocal some
        filter_, _ = split(compiled(source, Subject.PASSAGES))
        if filter_ is None:
            return
        request = index_pb2.SearchRequest(query="look", limit=10, filter=from_filter(filter_))
        scope = embedder.convert.search_request(index_pb2.SearchRequest.FromString(request.SerializeToString()), None).scope
        found = {candidate.document_id for candidate in await index.search_dense(OWN, towards, scope, 1000)}
        expected = {row.document_id for row in ROWS if satisfies(filter_, row, LITE)}
        assert found == expected
        some += 0 < len(expected) < len(ROWS)

    await for_each(examples, try_it)
    assert some > examples / 10, "the filters must tell rows apart"


def test_the_rows_hold_every_hostile_value_and_every_kind() -> None:
    held: Sequence[Any] = [value for row in ROWS for value in row.metadata.values()]
    assert set(HOSTILE) <= {value for value in held if isinstance(value, str)}
    assert {type(value) for value in held} >= {str, int, float, bool, list, dict, type(None)}
