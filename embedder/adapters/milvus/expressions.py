"""Milvus filter expressions.

Values are written as literals, so what stands here is the wall between organisations: every expression begins with the organisation, and no
value can end its literal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from embedder.domain.filters import FIELDS, AllOf, AnyOf, Comparison, FieldType, Filter, NoneOf, Operator, Scope, Value

# Stands for a time that the source did not give. Below every real one, and far from the end of the 64 bits.
NO_TIME = -(2**62)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def row_key(organisation_id: str, passage_id: str) -> str:
    """The primary key: a passage id that another organisation chose can never meet this one's row."""
    return f"{quote(organisation_id, safe='')}/{passage_id}"


def passage_id(key: str) -> str:
    """The passage id that a primary key was made of."""
    return key.partition("/")[2]


def organisation_of(key: str) -> str:
    """The organisation that a primary key was made of."""
    return unquote(key.partition("/")[0])


def literal(value: Value) -> str:
    """A value that the parser reads back as itself and nothing else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


def literals(values: Iterable[Value]) -> str:
    return f"[{', '.join(map(literal, values))}]"


def of_organisation(organisation_id: str, *conditions: str) -> str:
    """An expression that holds for the organisation's rows alone."""
    return " and ".join((f"organisation_id == {literal(organisation_id)}", *(f"({condition})" for condition in conditions)))


def of_passages(organisation_id: str, passage_ids: Sequence[str]) -> str:
    """The organisation's rows with these ids. The organisation is part of every key, which lets a store go straight to the rows."""
    return of_keys([row_key(organisation_id, passage_id) for passage_id in passage_ids])


def of_satisfying(organisation_id: str, passage_ids: Sequence[str], filter_: Filter) -> str:
    """Those of the organisation's rows with these ids that satisfy a filter."""
    return of_organisation(organisation_id, of_passages(organisation_id, passage_ids), condition(filter_))


def of_keys(keys: Sequence[str]) -> str:
    return f"row_key in {literals(keys)}"


def of_scope(organisation_id: str, scope: Scope) -> str:
    """The organisation's rows that a search may find."""
    conditions = [f"access_set_id in {literals(sorted({0, *scope.access_set_ids}))}"]
    if scope.collection_ids:
        conditions.append(f"collection_id in {literals(scope.collection_ids)}")
    if scope.filter is not None:
        conditions.append(condition(scope.filter))
    return of_organisation(organisation_id, *conditions)


def of_slice(organisation_id: str, share: float, *, start: float) -> str:
    """About a share of the organisation's rows: passage ids are hashes, so those between two of them are a fair sample.

    Args:
        organisation_id: whose rows.
        share: how many of them, between 0 and 1; 1 for all.
        start: where in the space of ids the slice begins, between 0 and 1.
    """
    if share >= 1:
        return of_organisation(organisation_id)
    first = start * (1 - share)
    bounds = (literal(row_key(organisation_id, f"{int(edge * 0xFFFFFFFF):08x}")) for edge in (first, first + share))
    return of_organisation(organisation_id, "row_key >= {} and row_key < {}".format(*bounds))


def of_documents(organisation_id: str, document_ids: Sequence[str], after_key: str) -> str:
    """The organisation's rows of some documents, after a key."""
    return of_organisation(organisation_id, f"document_id in {literals(document_ids)}", f"row_key > {literal(after_key)}")


def following(organisation_id: str, after: str) -> str:
    """The organisation's rows after the passage id ``after``, in the order of their keys."""
    first, last = literal(row_key(organisation_id, after)), literal(_end_of_keys(organisation_id))
    return of_organisation(organisation_id, f"row_key > {first} and row_key < {last}")


def beyond(organisation_id: str) -> str:
    """The rows whose keys are behind all of the organisation's."""
    return f"row_key >= {literal(_end_of_keys(organisation_id))}"


def _end_of_keys(organisation_id: str) -> str:
    # The character that follows the separator.
    return row_key(organisation_id, "")[:-1] + chr(ord("/") + 1)


def condition(filter_: Filter, *, negated: bool = False) -> str:
    """A filter that was checked, as an expression; ``negated`` below a negation."""
    match filter_:
        case AllOf(filters):
            return " and ".join(f"({condition(each, negated=negated)})" for each in filters)
        case AnyOf(filters):
            return " or ".join(f"({condition(each, negated=negated)})" for each in filters)
        case NoneOf(inner):
            return f"not ({condition(inner, negated=True)})"
        case Comparison():
            key = filter_.metadata_key
            if negated and key is not None and filter_.operator is not Operator.EXISTS:
                # What is compared with a key that is absent is unknown, and so would its negation be.
                return f"{_exists(key)} and ({_comparison(filter_)})"
            return _comparison(filter_)


def _exists(key: str) -> str:
    return f"exists metadata[{literal(key)}]"


def _comparison(comparison: Comparison) -> str:
    key = comparison.metadata_key
    column = comparison.field if key is None else f"metadata[{literal(key)}]"
    if comparison.operator is Operator.EXISTS and key is not None:
        return _exists(key)
    if comparison.operator is Operator.IN and key is None:
        return f"{column} in {literals(comparison.values)}"
    if comparison.operator is Operator.IN:
        # Milvus Lite knows IN for columns only.
        return " or ".join(f"{column} == {literal(value)}" for value in comparison.values)
    compared = f"{column} {comparison.operator.value} {literal(comparison.values[0])}"
    if key is None and FIELDS[comparison.field] is FieldType.TIME:
        return f"{column} > {NO_TIME} and {compared}"
    return compared
