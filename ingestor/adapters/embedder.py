"""The embedder, as the pipeline sees it: tokens, vectors written, vectors missing, vectors removed."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import grpc
import numpy as np
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ingestor.domain.drift import IndexRow
from ingestor.domain.pipeline.contexts import Window
from ingestor.domain.pipeline.index import Attributes, StoredPassage, Written
from ingestor.domain.pipeline.purge import Deleted, Doomed
from lectern.embedder.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc
from shared.caller import Caller
from shared.errors import AppError, Status, unavailable
from shared.rpc.channel import acting_for, peer_errors
from shared.rpc.limits import STREAM_PART_BYTES

SUBJECT = "service:ingestor"
# A caller is always of some organisation; this is none.
EVERY_ORGANISATION = "*"
CALL_SECONDS = 60.0
# Bulk work waits for its turn behind searches; a stream holds at most a page of passages.
STREAM_SECONDS = 900.0
# A request should fill a few batches of the model, and be answered often enough to show progress.
REQUEST_PASSAGES = 128
# Well below the 8 MB that a request to tokenise may hold.
TOKENIZE_BYTES = 2 * 1024 * 1024
# Longer texts are tokenised in pieces, cut at white space, which no tokenizer joins over.
PIECE_CHARS = 400_000
_SPECIAL_TOKENS = 2
_LITTLE_ENDIAN_U32 = np.dtype("<u4")


class Embedder:
    """A `Tokenizer`, `PassageIndex`, `VectorRemover` and `IndexScan` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._embedding = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._index = index_pb2_grpc.IndexServiceStub(channel)

    async def window(self, organisation_id: str) -> Window:
        with calling(organisation_id):
            response = await self._embedding.ListModels(embedding_pb2.ListModelsRequest(), timeout=CALL_SECONDS)
        for model in response.models:
            if model.name == response.current_model:
                return Window(max(1, model.max_length_tokens - _SPECIAL_TOKENS))
        raise AppError("MODEL_UNAVAILABLE", Status.UNAVAILABLE, "The embedder names no current model.")

    async def token_starts(self, organisation_id: str, texts: Sequence[str]) -> list[Sequence[int]]:
        # Four bytes a token: a long text has millions.
        starts = [array("I") for _ in texts]
        for batch in _batches(_pieces(texts)):
            request = embedding_pb2.TokenizeTextsRequest(texts=[piece for _, _, piece in batch])
            with calling(organisation_id):
                response = await self._embedding.TokenizeTexts(request, timeout=CALL_SECONDS)
            for (text, offset, _), tokenized in zip(batch, response.texts, strict=True):
                within_piece = np.frombuffer(tokenized.token_starts, dtype=_LITTLE_ENDIAN_U32)
                starts[text].frombytes((within_piece + np.uint32(offset)).astype(np.uint32).tobytes())
        return list(starts)

    async def write(
        self, organisation_id: str, passages: Sequence[StoredPassage], attributes: Mapping[int, Attributes]
    ) -> AsyncGenerator[Written, None]:
        parts = passage_messages(passages, [attributes[passage.task_id] for passage in passages])
        requests = [index_pb2.IndexPassagesRequest(passages=part) for part in parts]
        with calling(organisation_id):
            call = self._index.IndexPassages(_each(requests), timeout=STREAM_SECONDS)
            unanswered = iter(requests)
            try:
                async for response in call:
                    request = next(unanswered)
                    yield Written(
                        count=len(request.passages),
                        reused_count=response.reused_count,
                        rejected={rejected.passage_id: rejected.reason for rejected in response.rejected},
                        model=response.model,
                    )
            finally:
                call.cancel()
        if next(unanswered, None) is not None:
            raise unavailable("embedder")

    async def missing(self, organisation_id: str, passage_ids: Sequence[str]) -> set[str]:
        with calling(organisation_id):
            response = await self._index.FindMissingPassages(
                index_pb2.FindMissingPassagesRequest(passage_ids=passage_ids), timeout=CALL_SECONDS
            )
        return set(response.missing_passage_ids)

    async def scan(self, organisation_id: str, after: str, limit: int) -> list[IndexRow]:
        request = index_pb2.ScanPassagesRequest(after_passage_id=after, page_size=limit)
        with calling(organisation_id):
            response = await self._index.ScanPassages(request, timeout=CALL_SECONDS)
        return [to_index_row(row) for row in response.passages]

    async def organisations(self) -> list[str]:
        with calling(EVERY_ORGANISATION):
            response = await self._index.ListIndexedOrganisations(index_pb2.ListIndexedOrganisationsRequest(), timeout=CALL_SECONDS)
        return list(response.organisation_ids)

    async def delete_passages(self, organisation_id: str, passage_ids: Sequence[str]) -> Deleted:
        with calling(organisation_id):
            response = await self._index.DeletePassages(index_pb2.DeletePassagesRequest(passage_ids=passage_ids), timeout=CALL_SECONDS)
        return Deleted(response.deleted_count, response.remaining_count)

    async def delete(self, organisation_id: str, doomed: Sequence[Doomed]) -> Mapping[str, Deleted]:
        documents = [
            index_pb2.DocumentGenerations(
                document_id=each.document_id, before_generation=each.before_generation, keep_generations=each.kept
            )
            for each in doomed
        ]
        with calling(organisation_id):
            request = index_pb2.DeleteDocumentsRequest(documents=documents)
            response = await self._index.DeleteDocuments(request, timeout=CALL_SECONDS)
        return {each.document_id: Deleted(each.deleted_count, each.remaining_count) for each in response.documents}


@contextmanager
def calling(organisation_id: str) -> Iterator[None]:
    """Calls inside act for the organisation; what they raise becomes an AppError."""
    with acting_for(Caller(organisation_id, SUBJECT)), peer_errors("embedder"):
        yield


def to_index_row(row: index_pb2.IndexedPassage) -> IndexRow:
    return IndexRow(row.passage_id, row.document_id, row.generation, row.collection_id, row.fingerprint)


def passage_messages(passages: Sequence[StoredPassage], attributes: Sequence[Attributes]) -> Iterator[list[index_pb2.Passage]]:
    """Passages with their attributes as messages, in parts that fit into one request each."""
    part: list[index_pb2.Passage] = []
    size = 0
    converted: tuple[Attributes, index_pb2.PassageAttributes] | None = None
    for passage, its_attributes in zip(passages, attributes, strict=True):
        # Those of one document mostly follow one another.
        if converted is None or converted[0] is not its_attributes:
            converted = its_attributes, _to_attributes(its_attributes)
        message = _to_passage(passage, converted[1])
        length = message.ByteSize()
        if part and (len(part) == REQUEST_PASSAGES or size + length > STREAM_PART_BYTES):
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    if part:
        yield part


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Each text's number with the offset and the content of its pieces."""
    for number, text in enumerate(texts):
        start = 0
        while start < len(text):
            end = min(len(text), start + PIECE_CHARS)
            if end < len(text):
                end = max(text.rfind("\n", start, end), text.rfind(" ", start, end)) + 1 or end
            yield number, start, text[start:end]
            start = end


def _batches(pieces: Iterable[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    batch: list[tuple[int, int, str]] = []
    size = 0
    for piece in pieces:
        length = len(piece[2].encode())
        if batch and size + length > TOKENIZE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += length
    if batch:
        yield batch


async def _each(requests: Sequence[index_pb2.IndexPassagesRequest]) -> AsyncIterator[index_pb2.IndexPassagesRequest]:
    for request in requests:
        yield request


def _to_passage(passage: StoredPassage, attributes: index_pb2.PassageAttributes) -> index_pb2.Passage:
    return index_pb2.Passage(
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        generation=passage.generation,
        text=passage.text,
        context=passage.context,
        take_vector_from=passage.take_vector_from or "",
        fingerprint=passage.fingerprint,
        attributes=attributes,
    )


def _to_attributes(attributes: Attributes) -> index_pb2.PassageAttributes:
    metadata = Struct()
    metadata.update(attributes.metadata)
    return index_pb2.PassageAttributes(
        collection_id=attributes.collection_id,
        type=attributes.type,
        author=attributes.author,
        language=attributes.language,
        create_time=_to_timestamp(attributes.create_time),
        update_time=_to_timestamp(attributes.update_time),
        outdated=attributes.outdated,
        metadata=metadata,
    )


def _to_timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
