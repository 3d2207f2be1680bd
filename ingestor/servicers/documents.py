"""DocumentService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import grpc

from ingestor import errors
from ingestor.convert import from_document_state, from_entry, from_header, from_metadata, to_document, to_job, to_receipt
from ingestor.domain.collections import Collections
from ingestor.domain.documents import Document, DocumentPosition, Documents
from ingestor.domain.incoming import TextEntry
from ingestor.domain.intake import Intake
from ingestor.domain.jobs import Jobs
from ingestor.filter_messages import to_filter
from ingestor.servicers.pages import fitting
from lectern.ingestor.v1 import documents_pb2, documents_pb2_grpc
from shared.caller import current_caller
from shared.errors import invalid_argument
from shared.paging import PageTokens, page_size

Context = grpc.aio.ServicerContext[Any, Any]


class DocumentServicer(documents_pb2_grpc.DocumentServiceServicer):
    def __init__(self, intake: Intake, documents: Documents, collections: Collections, jobs: Jobs, page_tokens: PageTokens) -> None:
        self._intake = intake
        self._documents = documents
        self._collections = collections
        self._jobs = jobs
        self._page_tokens = page_tokens

    async def UploadDocument(
        self, request_iterator: AsyncIterator[documents_pb2.UploadDocumentRequest], context: Context
    ) -> documents_pb2.UploadDocumentResponse:
        organisation_id = current_caller().organisation_id
        first = await _first(request_iterator, "header")
        accepted = await self._intake.upload(organisation_id, from_header(first.header), _chunks(request_iterator, ended=first.last))
        return documents_pb2.UploadDocumentResponse(
            document=to_document(await self._documents.get(organisation_id, accepted.document_ids[0])),
            job=to_job(await self._jobs.get(organisation_id, accepted.job_id)),
            unchanged=accepted.unchanged_count == 1,
        )

    async def BatchCreateDocuments(
        self, request_iterator: AsyncIterator[documents_pb2.BatchCreateDocumentsRequest], context: Context
    ) -> documents_pb2.BatchCreateDocumentsResponse:
        organisation_id = current_caller().organisation_id
        first = await _first(request_iterator, "header")
        entries = _entries(request_iterator, ended=first.last)
        accepted = await self._intake.batch(organisation_id, first.header.collection, entries)
        return documents_pb2.BatchCreateDocumentsResponse(
            job=to_job(await self._jobs.get(organisation_id, accepted.job_id)), unchanged_count=accepted.unchanged_count
        )

    async def GetDocument(self, request: documents_pb2.GetDocumentRequest, context: Context) -> documents_pb2.GetDocumentResponse:
        organisation_id = current_caller().organisation_id
        document = await self._documents.get(organisation_id, request.document_id)
        pages = await self._documents.pages(organisation_id, request.document_id) if request.include_pages else []
        return documents_pb2.GetDocumentResponse(document=to_document(document, pages))

    async def ListDocuments(self, request: documents_pb2.ListDocumentsRequest, context: Context) -> documents_pb2.ListDocumentsResponse:
        organisation_id, size = current_caller().organisation_id, page_size(request.page_size)
        collection_id = await self._collections.resolve(organisation_id, request.collection)
        query = {"list": "documents", "organisation": organisation_id, "collection": collection_id, "state": str(request.state)}
        position = self._page_tokens.decode(query, request.page_token)
        after = DocumentPosition(datetime.fromisoformat(position[0]), position[1]) if position else None
        found = await self._documents.page(
            organisation_id, collection_id, state=from_document_state(request.state), after=after, limit=size + 1
        )
        messages, token = self._page(query, found, size)
        return documents_pb2.ListDocumentsResponse(documents=messages, next_page_token=token)

    async def FilterDocuments(
        self, request: documents_pb2.FilterDocumentsRequest, context: Context
    ) -> documents_pb2.FilterDocumentsResponse:
        organisation_id, size = current_caller().organisation_id, page_size(request.page_size)
        condition = to_filter(request.filter) if request.HasField("filter") else None
        query = {
            "list": "filtered documents",
            "organisation": organisation_id,
            "collections": "\n".join(request.collection_ids),
            "filter": request.filter.SerializeToString(deterministic=True).hex(),
        }
        position = self._page_tokens.decode(query, request.page_token)
        after = DocumentPosition(datetime.fromisoformat(position[0]), position[1]) if position else None
        found = await self._documents.filtered(
            organisation_id, condition, collection_ids=request.collection_ids, after=after, limit=size + 1
        )
        messages, token = self._page(query, found, size)
        return documents_pb2.FilterDocumentsResponse(documents=messages, next_page_token=token)

    def _page(self, query: Mapping[str, str], found: Sequence[Document], size: int) -> tuple[list[documents_pb2.Document], str]:
        """As many of ``found`` as fit, and the token for what follows them."""
        messages = [to_document(document) for document in found]
        count = fitting(messages, size)
        if count == len(found):
            return messages, ""
        last = found[count - 1]
        return messages[:count], self._page_tokens.encode(query, (last.create_time.isoformat(), last.document_id))

    async def UpdateDocument(self, request: documents_pb2.UpdateDocumentRequest, context: Context) -> documents_pb2.UpdateDocumentResponse:
        document = await self._documents.change(
            current_caller().organisation_id,
            request.document_id,
            name=request.name if request.HasField("name") else None,
            metadata=from_metadata(request.metadata) if request.HasField("metadata") else None,
        )
        return documents_pb2.UpdateDocumentResponse(document=to_document(document))

    async def DeleteDocument(self, request: documents_pb2.DeleteDocumentRequest, context: Context) -> documents_pb2.DeleteDocumentResponse:
        receipt = await self._documents.delete(current_caller().organisation_id, request.document_id)
        return documents_pb2.DeleteDocumentResponse(receipt=to_receipt(receipt))

    async def GetDeletionReceipt(
        self, request: documents_pb2.GetDeletionReceiptRequest, context: Context
    ) -> documents_pb2.GetDeletionReceiptResponse:
        receipt = await self._documents.receipt(current_caller().organisation_id, request.document_id)
        return documents_pb2.GetDeletionReceiptResponse(receipt=to_receipt(receipt))


async def _first(requests: AsyncIterator[Any], part: str) -> Any:
    async for request in requests:
        if request.WhichOneof("part") == part:
            return request
        break
    raise invalid_argument("HEADER_MISSING", f"The first message of this call must hold its {part}.", field=part)


async def _chunks(requests: AsyncIterator[documents_pb2.UploadDocumentRequest], *, ended: bool) -> AsyncIterator[bytes]:
    """The chunks after the header, which was the ``last`` message when ``ended``."""
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise invalid_argument("HEADER_REPEATED", "Every message after the first must hold a chunk.", field="chunk")
        yield request.chunk
        ended = request.last
    if not ended:
        raise errors.stream_cut()


async def _entries(
    requests: AsyncIterator[documents_pb2.BatchCreateDocumentsRequest], *, ended: bool
) -> AsyncIterator[Sequence[TextEntry]]:
    """The entries after the header, which was the ``last`` message when ``ended``."""
    async for request in requests:
        if request.WhichOneof("part") != "entries":
            raise invalid_argument("HEADER_REPEATED", "Every message after the first must hold entries.", field="entries")
        yield [from_entry(entry) for entry in request.entries.entries]
        ended = request.last
    if not ended:
        raise errors.stream_cut()
