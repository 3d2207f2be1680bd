"""Between messages and domain types; pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.duration_pb2 import Duration

from embedder import errors
from embedder.domain.batching import Lane
from embedder.domain.embedding import EmbeddedTexts, Model, ModelKind, ModelState, Timings, leading_elements
from embedder.domain.encoding import Task, TokenIds
from embedder.domain.filters import Scope
from embedder.domain.indexing import MAX_DELETED_DOCUMENTS, IndexedBatch
from embedder.domain.passages import Deleted, Generations, HeldPassage, JsonValue, Passage, PassageAttributes
from embedder.domain.reranking import RerankedTexts
from embedder.domain.search import Hit, Mode, SearchRequest, SearchResult
from embedder.explanation_messages import from_hit_explanation, from_search_explanation
from embedder.filter_messages import to_filter
from lectern.embedder.v1 import embedding_pb2, index_pb2, reranking_pb2, vectors_pb2
from shared import vectors

_LANES = {embedding_pb2.LANE_BULK: Lane.BULK}
_TASKS = {embedding_pb2.EMBEDDING_TASK_QUERY: Task.QUERY}
_MODES = {index_pb2.SEARCH_MODE_DENSE: Mode.DENSE, index_pb2.SEARCH_MODE_LEXICAL: Mode.LEXICAL}
_STATES = {
    ModelState.UNLOADED: embedding_pb2.MODEL_STATE_UNLOADED,
    ModelState.LOADING: embedding_pb2.MODEL_STATE_LOADING,
    ModelState.READY: embedding_pb2.MODEL_STATE_READY,
    ModelState.FAILED: embedding_pb2.MODEL_STATE_FAILED,
}
_KINDS = {
    ModelKind.EMBEDDING: embedding_pb2.MODEL_KIND_EMBEDDING,
    ModelKind.RERANKER: embedding_pb2.MODEL_KIND_RERANKER,
}


def lane(message: embedding_pb2.Lane.ValueType) -> Lane:
    return _LANES.get(message, Lane.INTERACTIVE)


def task(message: embedding_pb2.EmbeddingTask.ValueType) -> Task:
    return _TASKS.get(message, Task.PASSAGE)


def token_sequences(message: embedding_pb2.EmbedTextsRequest) -> list[TokenIds]:
    """The token sequences of a request; none when it carries texts.

    Raises:
        AppError: TEXTS_AND_TOKEN_SEQUENCES.
    """
    if message.texts and message.token_sequences:
        raise errors.texts_or_token_sequences()
    return [list(sequence.token_ids) for sequence in message.token_sequences]


def element_type(message: vectors_pb2.ElementType.ValueType) -> vectors_pb2.ElementType.ValueType:
    """The format to answer in.

    Raises:
        AppError: UNKNOWN_ELEMENT_TYPE.
    """
    if message == vectors_pb2.ELEMENT_TYPE_UNSPECIFIED:
        return vectors_pb2.ELEMENT_TYPE_FLOAT32
    if message not in vectors_pb2.ElementType.values():
        raise errors.unknown_element_type()
    return message


def embed_response(
    embedded: EmbeddedTexts, model: Model, wanted: vectors_pb2.ElementType.ValueType, *, dimensions: int = 0
) -> embedding_pb2.EmbedTextsResponse:
    """The response for texts that all have vectors.

    Raises:
        AppError: the first refused text's.
    """
    matrix = leading_elements(embedded.matrix(), dimensions, normalise=model.spec.normalised)
    return embedding_pb2.EmbedTextsResponse(
        vectors=vectors.pack(matrix, wanted),
        model=model.spec.name,
        revision=model.spec.revision,
        token_count=embedded.token_count,
        timings=_timings(embedded.timings),
    )


def rerank_response(reranked: RerankedTexts, model: Model) -> reranking_pb2.RerankTextsResponse:
    return reranking_pb2.RerankTextsResponse(
        scores=reranked.scores.tolist(),
        model=model.spec.name,
        revision=model.spec.revision,
        token_count=reranked.token_count,
        timings=_timings(reranked.timings),
    )


def model(described: Model) -> embedding_pb2.Model:
    spec = described.spec
    return embedding_pb2.Model(
        name=spec.name,
        revision=spec.revision,
        dimension=spec.dimension if described.kind is ModelKind.EMBEDDING else 0,
        max_length_tokens=spec.max_length_tokens,
        normalised=spec.normalised,
        state=_STATES[described.state],
        device=described.device,
        kind=_KINDS[described.kind],
        memory_bytes=described.memory_bytes,
        precision=described.precision,
        failure=described.failure,
    )


def passages(messages: Iterable[index_pb2.Passage]) -> list[Passage]:
    """Passages to index.

    Raises:
        AppError: INVALID_PASSAGE when a time or a number of the metadata is none.
    """
    return [
        Passage(
            passage_id=message.passage_id,
            document_id=message.document_id,
            generation=message.generation,
            text=message.text,
            context=message.context,
            take_vector_from=message.take_vector_from,
            fingerprint=message.fingerprint,
            attributes=_attributes(position, message.attributes),
        )
        for position, message in enumerate(messages)
    ]


def indexed_batch(batch: IndexedBatch, model_name: str) -> index_pb2.IndexPassagesResponse:
    return index_pb2.IndexPassagesResponse(
        written_count=batch.written_count,
        embedded_count=batch.embedded_count,
        reused_count=batch.reused_count,
        rejected=[index_pb2.RejectedPassage(passage_id=each.passage_id, reason=each.reason) for each in batch.rejected],
        model=model_name,
    )


def held_passage(held: HeldPassage) -> index_pb2.IndexedPassage:
    return index_pb2.IndexedPassage(
        passage_id=held.passage_id,
        document_id=held.document_id,
        generation=held.generation,
        collection_id=held.collection_id,
        fingerprint=held.fingerprint,
    )


def document_generations(messages: Sequence[index_pb2.DocumentGenerations]) -> dict[str, Generations]:
    """Documents to delete some generations of.

    Raises:
        AppError: DOCUMENT_COUNT_OUT_OF_RANGE, MISSING_FIELD.
    """
    if not 1 <= len(messages) <= MAX_DELETED_DOCUMENTS:
        raise errors.document_count_out_of_range(len(messages), MAX_DELETED_DOCUMENTS)
    if not all(message.document_id for message in messages):
        raise errors.missing_field("documents.document_id")
    return {message.document_id: Generations(message.before_generation or None, tuple(message.keep_generations)) for message in messages}


def deleted_document(document_id: str, deleted: Deleted) -> index_pb2.DeletedDocument:
    return index_pb2.DeletedDocument(document_id=document_id, deleted_count=deleted.count, remaining_count=deleted.remaining)


def search_request(message: index_pb2.SearchRequest, seconds_left: float | None) -> SearchRequest:
    """A search that may be run.

    Raises:
        AppError: what is wrong with the filter.
    """
    condition = to_filter(message.filter) if message.HasField("filter") else None
    return SearchRequest(
        query=message.query,
        scope=Scope(tuple(message.collection_ids), tuple(message.access_set_ids), condition),
        limit=message.limit,
        offset=message.offset,
        mode=_MODES.get(message.mode, Mode.HYBRID),
        explain=message.explain,
        seconds_left=seconds_left,
    )


def search_response(result: SearchResult, model_name: str) -> index_pb2.SearchResponse:
    timings = result.timings
    return index_pb2.SearchResponse(
        hits=[_hit(hit) for hit in result.hits],
        timings=index_pb2.SearchTimings(
            embed=duration(timings.embed),
            analyse=duration(timings.analyse),
            retrieve=duration(timings.retrieve),
            fuse=duration(timings.fuse),
            explain=duration(timings.explain),
            total=duration(timings.total),
        ),
        model=model_name,
        has_more=result.has_more,
        explanation=None if result.explanation is None else from_search_explanation(result.explanation),
    )


def duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def _timings(timings: Timings) -> embedding_pb2.EmbeddingTimings:
    return embedding_pb2.EmbeddingTimings(
        tokenize=duration(timings.tokenize), queue=duration(timings.queue), inference=duration(timings.inference)
    )


def _hit(hit: Hit) -> index_pb2.SearchHit:
    return index_pb2.SearchHit(
        passage_id=hit.passage_id,
        document_id=hit.document_id,
        generation=hit.generation,
        score=hit.score,
        dense_score=hit.dense,
        lexical_score=hit.lexical,
        explanation=None if hit.explanation is None else from_hit_explanation(hit.explanation),
    )


def _attributes(position: int, message: index_pb2.PassageAttributes) -> PassageAttributes:
    try:
        return PassageAttributes(
            collection_id=message.collection_id,
            connection_id=message.connection_id,
            access_set_id=message.access_set_id,
            type=message.type,
            author=message.author,
            language=message.language,
            create_time=_time(message.create_time) if message.HasField("create_time") else None,
            update_time=_time(message.update_time) if message.HasField("update_time") else None,
            outdated=message.outdated,
            metadata={name: _json(value) for name, value in message.metadata.fields.items()},
        )
    except ValueError as error:
        raise errors.invalid_passage(position, "attributes", str(error)) from None


def _time(message: timestamp_pb2.Timestamp) -> int:
    """Microseconds since 1970; the protocol's own check keeps it between the years 1 and 9999."""
    return message.ToMicroseconds()


def _json(message: struct_pb2.Value) -> JsonValue:
    """Whole numbers as such: a Struct knows only doubles, and 3 should be stored as 3."""
    match message.WhichOneof("kind"):
        case "number_value":
            number = message.number_value
            if not math.isfinite(number):
                raise ValueError(f"metadata holds {number}, which JSON cannot.")
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case "list_value":
            return [_json(each) for each in message.list_value.values]
        case "struct_value":
            return {name: _json(each) for name, each in message.struct_value.fields.items()}
    return None
