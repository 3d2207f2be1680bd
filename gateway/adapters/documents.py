"""Documents, at the ingestor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from gateway.adapters.peers import calling
from gateway.convert import from_document_state, from_json, to_document, to_job, to_receipt
from gateway.domain.documents import (
    Accepted,
    BatchAccepted,
    BatchEntry,
    DeletionReceipt,
    Document,
    DocumentChange,
    DocumentState,
    NewDocument,
)
from gateway.domain.listing import Listing, PageRequest
from gateway.domain.scope import Scope
from gateway.filter_messages import from_filter
from lectern.ingestor.v1 import documents_pb2 as pb
from lectern.ingestor.v1.documents_pb2_grpc import DocumentServiceStub
from shared.rpc.limits import STREAM_PART_BYTES

Request = TypeVar("Request")
Response = TypeVar("Response")


class IngestorDocuments:
    """`gateway.domain.documents.Documents` and `gateway.domain.document_filter.FilteredDocuments` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float, upload_seconds: float) -> None:
        self._stub = DocumentServiceStub(channel)
        self._timeout = timeout_seconds
        self._upload_seconds = upload_seconds

    async def upload(self, document: NewDocument, content: AsyncIterator[bytes]) -> Accepted:
        response = await self._send(self._stub.UploadDocument, _upload_requests(document, content))
        return Accepted(to_document(response.document), to_job(response.job), response.unchanged)

    async def create_batch(self, collection: str, entries: AsyncIterator[BatchEntry]) -> BatchAccepted:
        response = await self._send(self._stub.BatchCreateDocuments, _batch_requests(collection, entries))
        return BatchAccepted(to_job(response.job), response.unchanged_count)

    async def _send(self, method: Callable[..., Any], requests: AsyncIterator[Request]) -> Any:
        """Send a stream and return the one response; what ``requests`` raises cancels the call and is raised here."""
        failures: list[Exception] = []

        async def watched() -> AsyncGenerator[Request, None]:
            try:
                async for request in requests:
                    yield request
            except Exception as error:
                failures.append(error)
                raise

        try:
            with calling("ingestor"):
                return await method(watched(), timeout=self._upload_seconds)
        except asyncio.CancelledError:
            # grpc.aio cancels a call whose request iterator failed, and says no more.
            if failures:
                raise failures[0] from None
            raise

    async def get(self, document_id: str, *, with_pages: bool) -> Document:
        request = pb.GetDocumentRequest(document_id=document_id, include_pages=with_pages)
        with calling("ingestor"):
            return to_document((await self._stub.GetDocument(request, timeout=self._timeout)).document)

    async def list(self, collection: str, page: PageRequest, state: DocumentState | None) -> Listing[Document]:
        request = pb.ListDocumentsRequest(
            collection=collection, page_size=page.size, page_token=page.token, state=from_document_state(state)
        )
        with calling("ingestor"):
            response = await self._stub.ListDocuments(request, timeout=self._timeout)
        return Listing([to_document(message) for message in response.documents], response.next_page_token)

    async def filtered(self, scope: Scope, page: PageRequest) -> Listing[Document]:
        request = pb.FilterDocumentsRequest(
            filter=None if scope.filter is None else from_filter(scope.filter),
            collection_ids=scope.collection_ids,
            page_size=page.size,
            page_token=page.token,
        )
        with calling("ingestor"):
            response = await self._stub.FilterDocuments(request, timeout=self._timeout)
        return Listing([to_document(message) for message in response.documents], response.next_page_token)

    async def update(self, document_id: str, change: DocumentChange) -> Document:
        request = pb.UpdateDocumentRequest(
            document_id=document_id,
            name=change.name,
            metadata=None if change.metadata is None else from_json(change.metadata),
        )
        with calling("ingestor"):
            return to_document((await self._stub.UpdateDocument(request, timeout=self._timeout)).document)

    async def delete(self, document_id: str) -> DeletionReceipt:
        with calling("ingestor"):
            response = await self._stub.DeleteDocument(pb.DeleteDocumentRequest(document_id=document_id), timeout=self._timeout)
        return to_receipt(response.receipt)

    async def deletion_receipt(self, document_id: str) -> DeletionReceipt:
        request = pb.GetDeletionReceiptRequest(document_id=document_id)
        with calling("ingestor"):
            return to_receipt((await self._stub.GetDeletionReceipt(request, timeout=self._timeout)).receipt)


async def _upload_requests(document: NewDocument, content: AsyncIterator[bytes]) -> AsyncGenerator[pb.UploadDocumentRequest, None]:
    header = pb.DocumentHeader(
        collection=document.collection,
        external_id=document.external_id,
        name=document.name,
        metadata=None if document.metadata is None else from_json(document.metadata),
        declared_media_type=document.media_type,
        url=document.url,
    )
    yield pb.UploadDocumentRequest(header=header)
    async for part in content:
        for start in range(0, len(part), STREAM_PART_BYTES):
            yield pb.UploadDocumentRequest(chunk=part[start : start + STREAM_PART_BYTES])
    yield pb.UploadDocumentRequest(chunk=b"", last=True)


async def _batch_requests(collection: str, entries: AsyncIterator[BatchEntry]) -> AsyncGenerator[pb.BatchCreateDocumentsRequest, None]:
    yield pb.BatchCreateDocumentsRequest(header=pb.BatchHeader(collection=collection))
    part: list[pb.BatchEntry] = []
    size = 0
    async for entry in entries:
        message = pb.BatchEntry(
            external_id=entry.external_id,
            name=entry.name,
            text=entry.text,
            metadata=None if entry.metadata is None else from_json(entry.metadata),
        )
        size += message.ByteSize()
        part.append(message)
        if size >= STREAM_PART_BYTES:
            yield pb.BatchCreateDocumentsRequest(entries=pb.BatchEntries(entries=part))
            part, size = [], 0
    yield pb.BatchCreateDocumentsRequest(entries=pb.BatchEntries(entries=part), last=True)
