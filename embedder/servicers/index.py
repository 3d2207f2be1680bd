"""IndexService: the organisation's passages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import grpc

from embedder import convert, errors
from embedder.domain.analysis.analyzer import Analyzer
from embedder.domain.encoding import EncoderSpec
from embedder.domain.index import VectorIndex
from embedder.domain.indexing import MAX_PASSAGE_IDS, MAX_SCAN_PASSAGES, SCAN_PASSAGES, PassageIndexer
from embedder.domain.search import PassageSearch
from embedder.explanation_messages import from_spans
from lectern.embedder.v1 import index_pb2, index_pb2_grpc
from shared.caller import current_caller
from shared.rpc.deadline import time_remaining

MAX_LOCATED_TEXTS = 1_000
Context = grpc.aio.ServicerContext[Any, Any]


class IndexServicer(index_pb2_grpc.IndexServiceServicer):
    def __init__(self, spec: EncoderSpec, indexer: PassageIndexer, search: PassageSearch, analyzer: Analyzer, index: VectorIndex) -> None:
        self._model = spec.name
        self._indexer = indexer
        self._search = search
        self._analyzer = analyzer
        self._index = index

    async def IndexPassages(
        self,
        request_iterator: AsyncIterator[index_pb2.IndexPassagesRequest],
        context: Context,
    ) -> AsyncIterator[index_pb2.IndexPassagesResponse]:
        organisation_id = current_caller().organisation_id
        requests = (convert.passages(request.passages) async for request in request_iterator)
        stream = self._indexer.index_stream(organisation_id, requests, seconds_left=time_remaining())
        async with aclosing(stream) as batches:
            async for batch in batches:
                yield convert.indexed_batch(batch, self._model)

    async def Search(self, request: index_pb2.SearchRequest, context: Context) -> index_pb2.SearchResponse:
        result = await self._search.search(current_caller().organisation_id, convert.search_request(request, time_remaining()))
        return convert.search_response(result, self._model)

    async def LocateTerms(self, request: index_pb2.LocateTermsRequest, context: Context) -> index_pb2.LocateTermsResponse:
        if not 1 <= len(request.texts) <= MAX_LOCATED_TEXTS:
            raise errors.text_count_out_of_range(len(request.texts), MAX_LOCATED_TEXTS)
        located = await asyncio.to_thread(lambda: [self._analyzer.locate(each.text, each.terms) for each in request.texts])
        return index_pb2.LocateTermsResponse(texts=map(from_spans, located))

    async def FindMissingPassages(
        self,
        request: index_pb2.FindMissingPassagesRequest,
        context: Context,
    ) -> index_pb2.FindMissingPassagesResponse:
        _check_ids(request.passage_ids)
        missing = await self._index.find_missing(current_caller().organisation_id, request.passage_ids)
        return index_pb2.FindMissingPassagesResponse(missing_passage_ids=missing)

    async def DeleteDocuments(
        self,
        request: index_pb2.DeleteDocumentsRequest,
        context: Context,
    ) -> index_pb2.DeleteDocumentsResponse:
        documents = convert.document_generations(request.documents)
        deleted = await self._index.delete_documents(current_caller().organisation_id, documents)
        return index_pb2.DeleteDocumentsResponse(documents=[convert.deleted_document(*each) for each in deleted.items()])

    async def DeletePassages(
        self,
        request: index_pb2.DeletePassagesRequest,
        context: Context,
    ) -> index_pb2.DeletePassagesResponse:
        _check_ids(request.passage_ids)
        deleted = await self._index.delete_passages(current_caller().organisation_id, request.passage_ids)
        return index_pb2.DeletePassagesResponse(deleted_count=deleted.count, remaining_count=deleted.remaining)

    async def ScanPassages(
        self,
        request: index_pb2.ScanPassagesRequest,
        context: Context,
    ) -> index_pb2.ScanPassagesResponse:
        if request.page_size > MAX_SCAN_PASSAGES:
            raise errors.page_too_large(request.page_size, MAX_SCAN_PASSAGES)
        held = await self._index.scan(current_caller().organisation_id, request.after_passage_id, request.page_size or SCAN_PASSAGES)
        return index_pb2.ScanPassagesResponse(passages=[convert.held_passage(each) for each in held])

    async def ListIndexedOrganisations(
        self,
        request: index_pb2.ListIndexedOrganisationsRequest,
        context: Context,
    ) -> index_pb2.ListIndexedOrganisationsResponse:
        if not current_caller().is_service:
            raise errors.services_only()
        return index_pb2.ListIndexedOrganisationsResponse(organisation_ids=await self._index.organisations())

    async def GetIndexStatistics(
        self,
        request: index_pb2.GetIndexStatisticsRequest,
        context: Context,
    ) -> index_pb2.GetIndexStatisticsResponse:
        count = await self._index.count(current_caller().organisation_id, request.collection_id or None)
        return index_pb2.GetIndexStatisticsResponse(
            passage_count=count, model=self._model, physical_collection=self._index.physical_collection
        )


def _check_ids(passage_ids: Sequence[str]) -> None:
    if len(passage_ids) > MAX_PASSAGE_IDS:
        raise errors.too_many_ids(len(passage_ids), MAX_PASSAGE_IDS)
