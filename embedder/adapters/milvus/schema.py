"""The collection that passages are rows of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pymilvus import DataType, Function, FunctionType, MilvusClient

from embedder.adapters.milvus.expressions import NO_TIME, row_key
from embedder.domain.bm25 import K1, B
from embedder.domain.encoding import EncoderSpec, Vectors
from embedder.domain.indexing import MAX_ATTRIBUTE_CHARACTERS, MAX_FINGERPRINT_CHARACTERS, MAX_ID_CHARACTERS
from embedder.domain.passages import IndexedPassage

# Milvus counts a VARCHAR's length in bytes; a character has at most four.
_ID_BYTES = 4 * MAX_ID_CHARACTERS
_ATTRIBUTE_BYTES = 4 * MAX_ATTRIBUTE_CHARACTERS
MAX_TERMS_BYTES = 65_535
FINGERPRINT = "fingerprint"
_INDEXED_COLUMNS = (
    "organisation_id", "document_id", "generation", "collection_id", "connection_id", "access_set_id", "type", "author", "language",
    "create_time", "update_time", "outdated",
)  # fmt: skip


def physical_name(alias: str, spec: EncoderSpec) -> str:
    """The collection for one model and revision, of the characters that Milvus allows."""
    return re.sub(r"\W", "_", f"{alias}_{spec.name}_{spec.revision[:12]}", flags=re.ASCII)


def number_of(collection: str, alias: str, spec: EncoderSpec) -> int | None:
    """Which of the alias's collections for the model it is, counted from 1; None when it is none of them."""
    counted = re.fullmatch(rf"{re.escape(physical_name(alias, spec))}(?:__([1-9]\d*))?", collection)
    return int(counted[1] or 1) if counted else None


def next_name(collection: str, alias: str, spec: EncoderSpec) -> str:
    """The collection that takes the place of ``collection`` when the index is rebuilt."""
    return f"{physical_name(alias, spec)}__{(number_of(collection, alias, spec) or 1) + 1}"


def create_collection(client: MilvusClient, name: str, spec: EncoderSpec, *, lite: bool, timeout: float) -> None:
    """Create the collection with its indexes and load it. Blocking."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("row_key", DataType.VARCHAR, is_primary=True, max_length=2 * _ID_BYTES)
    schema.add_field("organisation_id", DataType.VARCHAR, max_length=_ID_BYTES, is_partition_key=True)
    for column in ("document_id", "collection_id"):
        schema.add_field(column, DataType.VARCHAR, max_length=_ID_BYTES)
    for column in ("connection_id", "type", "author", "language"):
        schema.add_field(column, DataType.VARCHAR, max_length=_ATTRIBUTE_BYTES)
    for column in ("generation", "access_set_id", "create_time", "update_time"):
        schema.add_field(column, DataType.INT64)
    schema.add_field("outdated", DataType.BOOL)
    schema.add_field("metadata", DataType.JSON)
    schema.add_field(FINGERPRINT, DataType.VARCHAR, max_length=4 * MAX_FINGERPRINT_CHARACTERS)
    # Terms are separated by spaces and made of letters and digits alone. Lite has no whitespace tokenizer; its standard one cuts the same.
    tokenizer = "standard" if lite else "whitespace"
    schema.add_field("terms", DataType.VARCHAR, max_length=MAX_TERMS_BYTES, enable_analyzer=True, analyzer_params={"tokenizer": tokenizer})
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=spec.dimension)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, input_field_names=["terms"], output_field_names=["sparse"]))
    client.create_collection(name, schema=schema, timeout=timeout)
    # Waiting for each index takes half a second at least, and there is no row yet; loading waits for what it needs.
    client.create_index(name, _indexes(lite=lite), timeout=timeout, sync=False)
    client.load_collection(name, timeout=timeout)


def _indexes(*, lite: bool) -> Any:
    indexes = MilvusClient.prepare_index_params()
    # At a laptop's sizes exact search costs less than building a graph.
    indexes.add_index("dense", index_type="FLAT" if lite else "AUTOINDEX", metric_type="IP")
    indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params={"bm25_k1": K1, "bm25_b": B})
    for column in _INDEXED_COLUMNS:
        indexes.add_index(column, index_type="INVERTED")
    return indexes


def to_row(organisation_id: str, indexed: IndexedPassage, *, fingerprints: bool) -> dict[str, Any]:
    """A passage as Milvus stores it; without ``fingerprints`` for a collection that was made before it had the column."""
    passage = indexed.passage
    attributes = passage.attributes
    return {
        "row_key": row_key(organisation_id, passage.passage_id),
        "organisation_id": organisation_id,
        "document_id": passage.document_id,
        "generation": passage.generation,
        "collection_id": attributes.collection_id,
        "connection_id": attributes.connection_id,
        "access_set_id": attributes.access_set_id,
        "type": attributes.type,
        "author": attributes.author,
        "language": attributes.language,
        "create_time": NO_TIME if attributes.create_time is None else attributes.create_time,
        "update_time": NO_TIME if attributes.update_time is None else attributes.update_time,
        "outdated": attributes.outdated,
        "metadata": dict(attributes.metadata),
        "terms": cut_terms(indexed.terms),
        "dense": unit(indexed.vector),
    } | ({FINGERPRINT: passage.fingerprint} if fingerprints else {})


def unit(vector: Vectors) -> Vectors:
    """The vector with length 1, so that the inner product is the cosine, which stores compute several times slower."""
    scaled: Vectors = np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
    return scaled


def cut_terms(terms: str) -> str:
    """As many whole terms as the column holds."""
    encoded = terms.encode()
    if len(encoded) <= MAX_TERMS_BYTES:
        return terms
    return encoded[:MAX_TERMS_BYTES].rpartition(b" ")[0].decode()
