"""FilterDocuments, through a real client and server over a real database."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import NULL_VALUE, Value

from lectern.filter.v1 import filter_pb2
from lectern.ingestor.v1 import documents_pb2
from shared.errors import Status
from tests.integration.ingestor.library import Library, error_of, struct

pytestmark = pytest.mark.asyncio(loop_scope="session")
Filter, FilterList = filter_pb2.Filter, filter_pb2.FilterList
Entry = documents_pb2.BatchEntry

METADATA: dict[str, dict[str, Any]] = {
    "empty": {},
    "people": {"team": "people", "year": 2024, "tags": ["leave", "pay"]},
    "legal": {"team": "legal", "year": 2021, "address": {"city": "Lyon", "floor": 3}},
    "mixed": {"team": 7, "year": "2024", "draft": True, "gone": None},
}


def compare(field: str, operator: filter_pb2.Operator.ValueType, *values: Any) -> filter_pb2.Filter:
    return Filter(comparison=filter_pb2.Comparison(field=field, operator=operator, values=[value(each) for each in values]))


def value(plain: Any) -> Value:
    if plain is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(plain, bool):
        return Value(bool_value=plain)
    return Value(string_value=plain) if isinstance(plain, str) else Value(number_value=plain)


def equal(field: str, plain: Any) -> filter_pb2.Filter:
    return compare(field, filter_pb2.OPERATOR_EQUAL, plain)


def exists(key: str) -> filter_pb2.Filter:
    return compare(key, filter_pb2.OPERATOR_EXISTS)


def contains(value: dict[str, Any], field: str = "metadata") -> filter_pb2.Filter:
    return Filter(metadata_contains=filter_pb2.MetadataLookup(field=field, value=struct(value)))


def contained_by(value: dict[str, Any], field: str = "metadata") -> filter_pb2.Filter:
    return Filter(metadata_contained_by=filter_pb2.MetadataLookup(field=field, value=struct(value)))


def none_of(condition: filter_pb2.Filter) -> filter_pb2.Filter:
    return Filter(none_of=condition)


async def fill(library: Library) -> None:
    await library.create_collection(metadata=struct({"owner": "ann", "shelf": 3}))
    batch = await library.batch(Entry(external_id=name, text=f"Text of {name}.", metadata=struct(each)) for name, each in METADATA.items())
    await library.ended(batch.job.job_id)


async def found(library: Library, condition: filter_pb2.Filter | None, **fields: Any) -> list[str]:
    response = await library.call(
        library.documents.FilterDocuments, documents_pb2.FilterDocumentsRequest(filter=condition, **{"page_size": 100, **fields})
    )
    return sorted(document.external_id for document in response.documents)


CASES = [
    (equal("metadata.team", "people"), ["people"]),
    (equal("metadata.team", 7), ["mixed"]),
    (equal("metadata.draft", plain=True), ["mixed"]),
    (compare("metadata.year", filter_pb2.OPERATOR_GREATER, 2020), ["legal", "people"]),
    (compare("metadata.year", filter_pb2.OPERATOR_GREATER_OR_EQUAL, "2"), ["mixed"]),
    (compare("metadata.year", filter_pb2.OPERATOR_IN, 2024, "2024"), ["mixed", "people"]),
    (none_of(compare("metadata.year", filter_pb2.OPERATOR_LESS, 2024)), ["empty", "mixed", "people"]),
    (none_of(equal("metadata.team", "people")), ["empty", "legal", "mixed"]),
    (exists("metadata.year"), ["legal", "mixed", "people"]),
    (exists("metadata.gone"), []),
    (Filter(any_of=FilterList(filters=[exists("metadata.tags"), exists("metadata.address")])), ["legal", "people"]),
    (Filter(all_of=FilterList(filters=[exists("metadata.team"), none_of(exists("metadata.tags"))])), ["legal", "mixed"]),
    (contains({"tags": ["pay"]}), ["people"]),
    (contains({"address": {"city": "Lyon"}}), ["legal"]),
    (contains({"tags": "pay"}), []),
    (contained_by({"team": "people", "year": 2024, "tags": ["pay", "leave", "more"], "else": 1}), ["empty", "people"]),
    (equal("collection_metadata.owner", "ann"), ["empty", "legal", "mixed", "people"]),
    (contains({"shelf": 4}, "collection_metadata"), []),
    (contained_by({"shelf": 3, "owner": "ann"}, "collection_metadata"), ["empty", "legal", "mixed", "people"]),
    (equal("type", "text"), []),
    (equal("outdated", plain=False), ["empty", "legal", "mixed", "people"]),
    (compare("create_time", filter_pb2.OPERATOR_LESS, "2020-01-01T00:00:00Z"), []),
    (none_of(compare("update_time", filter_pb2.OPERATOR_LESS, "2020-01-01T00:00:00Z")), ["empty", "legal", "mixed", "people"]),
    (compare("connection_id", filter_pb2.OPERATOR_IN, "x", ""), ["empty", "legal", "mixed", "people"]),
]


async def test_documents_are_found_by_their_fields_and_their_metadata_and_their_collections(library: Library) -> None:
    await fill(library)
    for condition, expected in CASES:
        assert await found(library, condition) == expected, condition
    assert await found(library, None) == sorted(METADATA)
    with_type = {document.type for document in (await library.call(library.documents.FilterDocuments, request())).documents}
    assert len(with_type) == 1
    assert await found(library, equal("type", with_type.pop())) == sorted(METADATA)


async def test_only_the_named_collections_documents_are_found(library: Library) -> None:
    await fill(library)
    other = await library.create_collection("other")
    assert await found(library, None, collection_ids=[other.collection_id]) == []
    assert await found(library, none_of(equal("collection_id", other.collection_id))) == sorted(METADATA)


async def test_a_deleted_document_is_not_found_and_another_organisations_never(library: Library) -> None:
    await fill(library)
    first = (await library.call(library.documents.FilterDocuments, request())).documents[0]
    await library.delete(first.document_id)
    assert len(await found(library, None)) == len(METADATA) - 1
    assert await found(library.for_organisation(f"{library.organisation_id}-2"), None) == []


def request(**fields: Any) -> documents_pb2.FilterDocumentsRequest:
    return documents_pb2.FilterDocumentsRequest(filter=exists("metadata.team"), **fields)


async def test_pages_hold_every_document_once_and_their_tokens_are_good_for_one_filter(library: Library) -> None:
    await fill(library)
    seen: list[str] = []
    token = ""
    while True:
        response = await library.call(library.documents.FilterDocuments, request(page_size=1, page_token=token))
        seen += [document.external_id for document in response.documents]
        token = response.next_page_token or token
        if not response.next_page_token:
            break
    assert seen == [name for name, metadata in METADATA.items() if "team" in metadata]
    for other in (documents_pb2.FilterDocumentsRequest(page_token=token), request(collection_ids=["x"], page_token=token)):
        assert (await error_of(library.call(library.documents.FilterDocuments, other))).reason == "PAGE_TOKEN_INVALID"


DEEP = Filter()
for _ in range(40):
    DEEP = Filter(none_of=DEEP)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Filter(), "MALFORMED_FILTER"),
        (DEEP, "MALFORMED_FILTER"),
        (Filter(all_of=FilterList()), "MALFORMED_FILTER"),
        (Filter(any_of=FilterList(filters=[equal("type", "pdf")] * 300)), "MALFORMED_FILTER"),
        (compare("type", filter_pb2.OPERATOR_UNSPECIFIED, "pdf"), "MALFORMED_FILTER"),
        (compare("type", filter_pb2.OPERATOR_EQUAL, "pdf", "docx"), "MALFORMED_FILTER"),
        (exists("type"), "MALFORMED_FILTER"),
        (equal("type", "x" * 5000), "MALFORMED_FILTER"),
        (equal("type", 3), "WRONG_FILTER_VALUE"),
        (equal("metadata.x", None), "WRONG_FILTER_VALUE"),
        (equal("metadata.x", float("nan")), "WRONG_FILTER_VALUE"),
        (equal("update_time", "soon"), "WRONG_FILTER_VALUE"),
        (equal("update_time", "2021-01-01T00:00:00"), "WRONG_FILTER_VALUE"),
        (equal("organisation_id", "x"), "UNKNOWN_FILTER_FIELD"),
        (contains({}, "organisation_id"), "UNKNOWN_FILTER_FIELD"),
        (contains({"x": float("nan")}), "METADATA_INVALID"),
        (equal("author", "nul\0"), "NUL_CHARACTER"),
        (contains({"nul\0": 1}), "NUL_CHARACTER"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(library: Library, condition: filter_pb2.Filter, reason: str) -> None:
    error = await error_of(library.call(library.documents.FilterDocuments, documents_pb2.FilterDocumentsRequest(filter=condition)))
    assert (error.reason, error.status) == (reason, Status.INVALID_ARGUMENT)
