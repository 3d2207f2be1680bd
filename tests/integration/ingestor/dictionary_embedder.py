"""An embedder that keeps its index in a dictionary and fails when a test says so; it speaks the real protocol over a real socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from lectern.embedder.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc, rebuild_pb2, rebuild_pb2_grpc
from shared.caller import current_caller
from shared.errors import AppError
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer

Context = grpc.aio.ServicerContext[Any, Any]
MODEL = "dictionary"
MAX_LENGTH_TOKENS = 66
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True)
class Row:
    """A passage as the index holds it; ``vector`` tells which text it was made from."""

    passage: index_pb2.Passage
    vector: str


@dataclass(slots=True)
class Index:
    """One organisation's rows, what happened to them, and what is to go wrong next.

    Attributes:
        embedded: texts that went through the model, in order.
        failures: raised by the next calls of a method, one each; None lets a call pass.
        lose: how many of the rows written next are acknowledged and forgotten.
        reject: texts that the model cannot embed.
        deadly: texts whose request is never answered; `deadly_arrived` says that one has come in.
        open: cleared, every request to index waits.
        arrived: set when a request to index has come in.
        built: rows of the collection that is being built.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    embedded: list[str] = field(default_factory=list)
    failures: dict[str, list[AppError | None]] = field(default_factory=dict)
    lose: int = 0
    reject: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    deadly_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    built: dict[str, Row] = field(default_factory=dict)

    def fail(self, method: str) -> None:
        error = self.failures[method].pop(0) if self.failures.get(method) else None
        if error is not None:
            raise error

    def of(self, document_id: str) -> list[Row]:
        return sorted((row for row in self.rows.values() if row.passage.document_id == document_id), key=lambda row: row.passage.passage_id)


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


class Indexes(dict[str, Index]):
    """An index for each organisation, made when it is first asked for; all are parts of the collection with the number ``serving``."""

    serving = 1

    def __missing__(self, organisation_id: str) -> Index:
        self[organisation_id] = Index()
        return self[organisation_id]

    def of_caller(self) -> Index:
        return self[current_caller().organisation_id]


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def EmbedTexts(self, request: embedding_pb2.EmbedTextsRequest, context: Context) -> embedding_pb2.EmbedTextsResponse:
        raise NotImplementedError

    async def StreamEmbedTexts(
        self, request_iterator: AsyncIterator[embedding_pb2.StreamEmbedTextsRequest], context: Context
    ) -> AsyncIterator[embedding_pb2.StreamEmbedTextsResponse]:
        raise NotImplementedError
        yield

    async def ListModels(self, request: embedding_pb2.ListModelsRequest, context: Context) -> embedding_pb2.ListModelsResponse:
        self._indexes.of_caller().fail("ListModels")
        model = embedding_pb2.Model(name=MODEL, revision="1", dimension=2, max_length_tokens=MAX_LENGTH_TOKENS)
        return embedding_pb2.ListModelsResponse(models=[model], current_model=MODEL)

    async def TokenizeTexts(self, request: embedding_pb2.TokenizeTextsRequest, context: Context) -> embedding_pb2.TokenizeTextsResponse:
        self._indexes.of_caller().fail("TokenizeTexts")
        starts = [np.array([match.start() for match in _TOKEN.finditer(text)], dtype="<u4") for text in request.texts]
        return embedding_pb2.TokenizeTextsResponse(
            texts=[embedding_pb2.TokenizedText(token_starts=array.tobytes()) for array in starts], model=MODEL
        )


class IndexServicer(index_pb2_grpc.IndexServiceServicer):
    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def IndexPassages(
        self, request_iterator: AsyncIterator[index_pb2.IndexPassagesRequest], context: Context
    ) -> AsyncIterator[index_pb2.IndexPassagesResponse]:
        index = self._indexes.of_caller()
        async for request in request_iterator:
            index.requests += 1
            index.arrived.set()
            await index.open.wait()
            index.fail("IndexPassages")
            if index.deadly & {passage.text for passage in request.passages}:
                index.deadly_arrived.set()
                await asyncio.Event().wait()
            yield self._write(index, list(request.passages))

    def _write(self, index: Index, passages: list[index_pb2.Passage]) -> index_pb2.IndexPassagesResponse:
        response = index_pb2.IndexPassagesResponse(model=MODEL)
        for passage in passages:
            text = f"{passage.context}|{passage.text}"
            source = index.rows.get(passage.take_vector_from)
            if passage.text in index.reject:
                response.rejected.append(index_pb2.RejectedPassage(passage_id=passage.passage_id, reason="VECTOR_NOT_FINITE"))
                continue
            if source is not None:
                response.reused_count += 1
                text = source.vector
            else:
                response.embedded_count += 1
                index.embedded.append(passage.text)
            response.written_count += 1
            if index.lose:
                index.lose -= 1
            else:
                index.rows[passage.passage_id] = Row(passage, text)
        return response

    async def FindMissingPassages(
        self, request: index_pb2.FindMissingPassagesRequest, context: Context
    ) -> index_pb2.FindMissingPassagesResponse:
        index = self._indexes.of_caller()
        index.fail("FindMissingPassages")
        missing = [passage_id for passage_id in request.passage_ids if passage_id not in index.rows]
        return index_pb2.FindMissingPassagesResponse(missing_passage_ids=missing)

    async def DeleteDocuments(self, request: index_pb2.DeleteDocumentsRequest, context: Context) -> index_pb2.DeleteDocumentsResponse:
        index = self._indexes.of_caller()
        index.fail("DeleteDocuments")
        return index_pb2.DeleteDocumentsResponse(documents=[_delete(index, document) for document in request.documents])

    async def DeletePassages(self, request: index_pb2.DeletePassagesRequest, context: Context) -> index_pb2.DeletePassagesResponse:
        index = self._indexes.of_caller()
        index.fail("DeletePassages")
        gone = [passage_id for passage_id in request.passage_ids if index.rows.pop(passage_id, None)]
        return index_pb2.DeletePassagesResponse(deleted_count=len(gone))

    async def ScanPassages(self, request: index_pb2.ScanPassagesRequest, context: Context) -> index_pb2.ScanPassagesResponse:
        index = self._indexes.of_caller()
        index.fail("ScanPassages")
        following = sorted(passage_id for passage_id in index.rows if passage_id > request.after_passage_id)[: request.page_size]
        return index_pb2.ScanPassagesResponse(passages=[_held(passage_id, index.rows[passage_id].passage) for passage_id in following])

    async def ListIndexedOrganisations(
        self, request: index_pb2.ListIndexedOrganisationsRequest, context: Context
    ) -> index_pb2.ListIndexedOrganisationsResponse:
        held = [organisation_id for organisation_id, index in self._indexes.items() if index.rows]
        return index_pb2.ListIndexedOrganisationsResponse(organisation_ids=held)

    async def Search(self, request: index_pb2.SearchRequest, context: Context) -> index_pb2.SearchResponse:
        raise NotImplementedError

    async def LocateTerms(self, request: index_pb2.LocateTermsRequest, context: Context) -> index_pb2.LocateTermsResponse:
        raise NotImplementedError

    async def GetIndexStatistics(
        self, request: index_pb2.GetIndexStatisticsRequest, context: Context
    ) -> index_pb2.GetIndexStatisticsResponse:
        raise NotImplementedError


class RebuildServicer(rebuild_pb2_grpc.RebuildServiceServicer):
    """One collection is built at a time. What concerns every organisation fails as the index of the organisation ``*`` says."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes

    async def PrepareCollection(
        self, request: rebuild_pb2.PrepareCollectionRequest, context: Context
    ) -> rebuild_pb2.PrepareCollectionResponse:
        self._indexes.of_caller().fail("PrepareCollection")
        for index in self._indexes.values():
            index.built = {}
        serving = self._indexes.serving
        return rebuild_pb2.PrepareCollectionResponse(collection=str(serving + 1), serving_collection=str(serving))

    async def BuildPassages(self, request: rebuild_pb2.BuildPassagesRequest, context: Context) -> rebuild_pb2.BuildPassagesResponse:
        index = self._indexes.of_caller()
        index.fail("BuildPassages")
        rows = self._rows(index, request.collection)
        reused = 0
        for passage in request.passages:
            source = index.rows.get(passage.take_vector_from)
            reused += source is not None
            rows[passage.passage_id] = Row(passage, source.vector if source else f"{passage.context}|{passage.text}")
        return rebuild_pb2.BuildPassagesResponse(embedded_count=len(request.passages) - reused, reused_count=reused)

    async def DeleteBuiltPassages(
        self, request: rebuild_pb2.DeleteBuiltPassagesRequest, context: Context
    ) -> rebuild_pb2.DeleteBuiltPassagesResponse:
        rows = self._rows(self._indexes.of_caller(), request.collection)
        return rebuild_pb2.DeleteBuiltPassagesResponse(deleted_count=sum(rows.pop(each, None) is not None for each in request.passage_ids))

    async def ScanBuiltPassages(
        self, request: rebuild_pb2.ScanBuiltPassagesRequest, context: Context
    ) -> rebuild_pb2.ScanBuiltPassagesResponse:
        index = self._indexes.of_caller()
        index.fail("ScanBuiltPassages")
        rows = self._rows(index, request.collection)
        following = sorted(passage_id for passage_id in rows if passage_id > request.after_passage_id)[: request.page_size]
        return rebuild_pb2.ScanBuiltPassagesResponse(passages=[_held(passage_id, rows[passage_id].passage) for passage_id in following])

    async def ListBuiltOrganisations(
        self, request: rebuild_pb2.ListBuiltOrganisationsRequest, context: Context
    ) -> rebuild_pb2.ListBuiltOrganisationsResponse:
        held = [organisation_id for organisation_id, index in self._indexes.items() if self._rows(index, request.collection)]
        return rebuild_pb2.ListBuiltOrganisationsResponse(organisation_ids=held)

    async def SwitchCollection(
        self, request: rebuild_pb2.SwitchCollectionRequest, context: Context
    ) -> rebuild_pb2.SwitchCollectionResponse:
        """Switches, and then fails if it is to: the reply is lost."""
        if request.collection != str(self._indexes.serving):
            assert request.serving_collection == str(self._indexes.serving)
            self._indexes.serving += 1
            for index in self._indexes.values():
                index.rows, index.built = index.built, {}
        self._indexes.of_caller().fail("SwitchCollection")
        return rebuild_pb2.SwitchCollectionResponse()

    async def DropCollection(self, request: rebuild_pb2.DropCollectionRequest, context: Context) -> rebuild_pb2.DropCollectionResponse:
        assert int(request.collection) < self._indexes.serving
        return rebuild_pb2.DropCollectionResponse()

    def _rows(self, index: Index, collection: str) -> dict[str, Row]:
        return index.rows if collection == str(self._indexes.serving) else index.built


def _delete(index: Index, document: index_pb2.DocumentGenerations) -> index_pb2.DeletedDocument:
    doomed = [
        key
        for key, row in index.rows.items()
        if row.passage.document_id == document.document_id
        and (not document.before_generation or row.passage.generation < document.before_generation)
        and row.passage.generation not in document.keep_generations
    ]
    for key in doomed:
        del index.rows[key]
    return index_pb2.DeletedDocument(document_id=document.document_id, deleted_count=len(doomed))


def _held(passage_id: str, passage: index_pb2.Passage) -> index_pb2.IndexedPassage:
    return index_pb2.IndexedPassage(
        passage_id=passage_id,
        document_id=passage.document_id,
        generation=passage.generation,
        collection_id=passage.attributes.collection_id,
        fingerprint=passage.fingerprint,
    )


@asynccontextmanager
async def serve_dictionary(indexes: Indexes, signer: CallerSigner, listen: str = "127.0.0.1:0") -> AsyncIterator[int]:
    """Serve ``indexes``; gives the port."""
    server = ServiceServer("embedder", signer=signer, service_names=[])
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(indexes), server.grpc_server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(IndexServicer(indexes), server.grpc_server)
    rebuild_pb2_grpc.add_RebuildServiceServicer_to_server(RebuildServicer(indexes), server.grpc_server)
    await server.start(listen)
    try:
        yield server.port
    finally:
        await server.stop(0)
