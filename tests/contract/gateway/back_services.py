"""The three back services as the gateway sees them: their protos over a real socket, small stores in memory, and faults on demand."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from lectern.embedder.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc
from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from lectern.ingestor.v1 import (
    collections_pb2,
    collections_pb2_grpc,
    documents_pb2,
    documents_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    passages_pb2,
    passages_pb2_grpc,
    rebuild_pb2,
    rebuild_pb2_grpc,
    reconcile_pb2,
    reconcile_pb2_grpc,
)
from shared.caller import Caller, current_caller
from shared.errors import AppError, Status, not_found
from shared.request_id import current_request_id
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.server import ServiceServer
from tests.contract.gateway.back_generator import Generation

NAMES = (
    "lectern.ingestor.v1.CollectionService",
    "lectern.ingestor.v1.DocumentService",
    "lectern.ingestor.v1.JobService",
    "lectern.ingestor.v1.PassageService",
    "lectern.ingestor.v1.RebuildService",
    "lectern.ingestor.v1.ReconcileService",
    "lectern.embedder.v1.IndexService",
    "lectern.embedder.v1.EmbeddingService",
    "lectern.generator.v1.GenerationService",
)


@dataclass
class World:
    """What the services hold, what they were asked, and what they are to do wrong."""

    collections: dict[tuple[str, str], collections_pb2.Collection] = field(default_factory=dict)
    documents: dict[tuple[str, str], documents_pb2.Document] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    job_states: list[jobs_pb2.Job] = field(default_factory=list)
    passages: dict[str, passages_pb2.Passage] = field(default_factory=dict)
    ranking: list[index_pb2.SearchHit] = field(default_factory=list)
    reconciliation: list[reconcile_pb2.ReconcileResponse] = field(
        default_factory=lambda: [reconcile_pb2.ReconcileResponse(stage=reconcile_pb2.RECONCILE_STAGE_ENDED)]
    )
    rebuilds: list[rebuild_pb2.Rebuild] = field(default_factory=list)
    answer: list[generation_pb2.AnswerResponse] = field(default_factory=list)
    requests: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    callers: list[Caller] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    batch_messages: list[int] = field(default_factory=list)
    failures: dict[str, AppError] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def called(self, method: str, request: Any) -> None:
        """Record a call; fail or wait where a test wants it."""
        self.requests[method].append(request)
        self.callers.append(current_caller())
        self.request_ids.append(current_request_id())
        if method in self.failures:
            raise self.failures[method]

    async def pause(self, method: str) -> None:
        """Wait for as long as a test holds ``method``, and notice when the caller gives up."""
        if method not in self.hold:
            return
        self.held.set()
        try:
            await self.hold[method].wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def require_end(self, last: documents_pb2.UploadDocumentRequest | documents_pb2.BatchCreateDocumentsRequest) -> None:
        """Refuse a stream that ended without its last message: the caller went away in the middle of it."""
        if not last.last:
            self.cut.set()
            raise AppError("UPLOAD_CUT", Status.ABORTED, "The stream ended before its last message.")

    def key(self, name: str) -> tuple[str, str]:
        return current_caller().organisation_id, name


class Collections(collections_pb2_grpc.CollectionServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def find(self, name: str) -> collections_pb2.Collection:
        for (organisation, _), collection in self.world.collections.items():
            if organisation == current_caller().organisation_id and name in {collection.collection_id, collection.name}:
                return collection
        raise not_found("collection", name)

    async def CreateCollection(self, request: collections_pb2.CreateCollectionRequest, context: Any) -> Any:
        await self.world.called("CreateCollection", request)
        collection = collections_pb2.Collection(
            collection_id=f"col_{len(self.world.collections)}",
            name=request.name,
            description=request.description,
            metadata=request.metadata,
            settings=request.settings,
        )
        collection.create_time.GetCurrentTime()
        self.world.collections[self.world.key(request.name)] = collection
        return collections_pb2.CreateCollectionResponse(collection=collection)

    async def GetCollection(self, request: collections_pb2.GetCollectionRequest, context: Any) -> Any:
        await self.world.called("GetCollection", request)
        return collections_pb2.GetCollectionResponse(collection=self.find(request.collection))

    async def ListCollections(self, request: collections_pb2.ListCollectionsRequest, context: Any) -> Any:
        await self.world.called("ListCollections", request)
        mine = [value for (owner, _), value in self.world.collections.items() if owner == current_caller().organisation_id]
        wanted = set(request.collections)
        found = [one for one in mine if not wanted or {one.name, one.collection_id} & wanted]
        return collections_pb2.ListCollectionsResponse(collections=found, next_page_token="more" if len(found) > 2 else "")

    async def UpdateCollection(self, request: collections_pb2.UpdateCollectionRequest, context: Any) -> Any:
        await self.world.called("UpdateCollection", request)
        collection = self.find(request.collection)
        if request.HasField("description"):
            collection.description = request.description
        if request.HasField("metadata"):
            collection.metadata.CopyFrom(request.metadata)
        return collections_pb2.UpdateCollectionResponse(collection=collection)

    async def DeleteCollection(self, request: collections_pb2.DeleteCollectionRequest, context: Any) -> Any:
        await self.world.called("DeleteCollection", request)
        del self.world.collections[self.world.key(self.find(request.collection).name)]
        return collections_pb2.DeleteCollectionResponse(document_count=3, job_id="job_purge")


class Documents(documents_pb2_grpc.DocumentServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def UploadDocument(self, request_iterator: AsyncIterator[documents_pb2.UploadDocumentRequest], context: Any) -> Any:
        content = bytearray()
        header, request = documents_pb2.DocumentHeader(), documents_pb2.UploadDocumentRequest()
        async for request in request_iterator:
            if request.HasField("header"):
                header = request.header
                await self.world.called("UploadDocument", header)
            assert len(request.chunk) <= 1024 * 1024
            content += request.chunk
        self.world.require_end(request)
        await self.world.pause("UploadDocument")
        document = documents_pb2.Document(
            document_id=f"doc_{len(self.world.documents)}",
            collection_id=header.collection,
            external_id=header.external_id,
            name=header.name,
            metadata=header.metadata,
            state=documents_pb2.DOCUMENT_STATE_PROCESSING,
            size_bytes=len(content),
            content_sha256=hashlib.sha256(content).hexdigest(),
        )
        self.world.documents[self.world.key(document.document_id)] = document
        self.world.contents[document.document_id] = bytes(content)
        return documents_pb2.UploadDocumentResponse(document=document, job=job("job_1", jobs_pb2.JOB_STATE_QUEUED))

    async def BatchCreateDocuments(self, request_iterator: AsyncIterator[documents_pb2.BatchCreateDocumentsRequest], context: Any) -> Any:
        entries: list[documents_pb2.BatchEntry] = []
        request = documents_pb2.BatchCreateDocumentsRequest()
        try:
            async for request in request_iterator:
                if request.HasField("header"):
                    await self.world.called("BatchCreateDocuments", request.header)
                else:
                    self.world.batch_messages.append(request.ByteSize())
                    entries += request.entries.entries
                    await self.world.pause("BatchCreateDocuments")
        except asyncio.CancelledError:
            self.world.cut.set()
            raise
        self.world.require_end(request)
        self.world.requests["entries"] += entries
        return documents_pb2.BatchCreateDocumentsResponse(
            job=job("job_1", jobs_pb2.JOB_STATE_QUEUED, total=len(entries)), unchanged_count=1
        )

    async def GetDocument(self, request: documents_pb2.GetDocumentRequest, context: Any) -> Any:
        await self.world.called("GetDocument", request)
        found = self.world.documents.get(self.world.key(request.document_id))
        if found is None:
            raise not_found("document", request.document_id)
        document = documents_pb2.Document()
        document.CopyFrom(found)
        if request.include_pages:
            document.pages.add(number=1, text="The first page.")
        return documents_pb2.GetDocumentResponse(document=document)

    async def ListDocuments(self, request: documents_pb2.ListDocumentsRequest, context: Any) -> Any:
        await self.world.called("ListDocuments", request)
        mine = [value for (owner, _), value in self.world.documents.items() if owner == current_caller().organisation_id]
        return documents_pb2.ListDocumentsResponse(documents=mine)

    async def FilterDocuments(self, request: documents_pb2.FilterDocumentsRequest, context: Any) -> Any:
        await self.world.called("FilterDocuments", request)
        mine = [value for (owner, _), value in self.world.documents.items() if owner == current_caller().organisation_id]
        return documents_pb2.FilterDocumentsResponse(documents=mine, next_page_token="" if request.page_token else "more")

    async def UpdateDocument(self, request: documents_pb2.UpdateDocumentRequest, context: Any) -> Any:
        await self.world.called("UpdateDocument", request)
        document = self.world.documents[self.world.key(request.document_id)]
        if request.HasField("metadata"):
            document.metadata.CopyFrom(request.metadata)
        return documents_pb2.UpdateDocumentResponse(document=document)

    async def DeleteDocument(self, request: documents_pb2.DeleteDocumentRequest, context: Any) -> Any:
        await self.world.called("DeleteDocument", request)
        receipt = documents_pb2.DeletionReceipt(document_id=request.document_id, job_id="job_purge", passage_count=4)
        receipt.deleted_time.GetCurrentTime()
        return documents_pb2.DeleteDocumentResponse(receipt=receipt)

    async def GetDeletionReceipt(self, request: documents_pb2.GetDeletionReceiptRequest, context: Any) -> Any:
        await self.world.called("GetDeletionReceipt", request)
        receipt = documents_pb2.DeletionReceipt(document_id=request.document_id, job_id="job_purge", vector_count=4)
        receipt.purge_verified_time.GetCurrentTime()
        return documents_pb2.GetDeletionReceiptResponse(receipt=receipt)


class Jobs(jobs_pb2_grpc.JobServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: Any) -> Any:
        await self.world.called("GetJob", request)
        if not self.world.job_states:
            raise not_found("job", request.job_id)
        return jobs_pb2.GetJobResponse(job=self.world.job_states[0])

    async def ListJobs(self, request: jobs_pb2.ListJobsRequest, context: Any) -> Any:
        await self.world.called("ListJobs", request)
        return jobs_pb2.ListJobsResponse(jobs=self.world.job_states, next_page_token="more")

    async def ListJobDocuments(self, request: jobs_pb2.ListJobDocumentsRequest, context: Any) -> Any:
        await self.world.called("ListJobDocuments", request)
        if not self.world.job_states:
            raise not_found("job", request.job_id)
        document = jobs_pb2.JobDocument(document_id="d", document_name="a.pdf", state=jobs_pb2.TASK_STATE_FAILED, reason="PDF_ENCRYPTED")
        document.stage = jobs_pb2.TASK_STAGE_PARSE
        return jobs_pb2.ListJobDocumentsResponse(documents=[document], next_page_token="more")

    async def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: Any) -> AsyncIterator[Any]:
        await self.world.called("WatchJob", request)
        for state in self.world.job_states:
            yield jobs_pb2.WatchJobResponse(job=state)
            await self.world.pause("WatchJob")
        for document in self.world.documents.values():
            document.state = documents_pb2.DOCUMENT_STATE_READY

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: Any) -> Any:
        await self.world.called("CancelJob", request)
        return jobs_pb2.CancelJobResponse(job=job(request.job_id, jobs_pb2.JOB_STATE_CANCELLED))

    async def RetryJob(self, request: jobs_pb2.RetryJobRequest, context: Any) -> Any:
        await self.world.called("RetryJob", request)
        return jobs_pb2.RetryJobResponse(job=job(request.job_id, jobs_pb2.JOB_STATE_QUEUED))


class Reconciling(reconcile_pb2_grpc.ReconcileServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def Reconcile(self, request: reconcile_pb2.ReconcileRequest, context: Any) -> AsyncIterator[Any]:
        await self.world.called("Reconcile", request)
        for report in self.world.reconciliation:
            yield report
            await self.world.pause("Reconcile")


class Rebuilding(rebuild_pb2_grpc.RebuildServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def StartRebuild(self, request: rebuild_pb2.StartRebuildRequest, context: Any) -> Any:
        await self.world.called("StartRebuild", request)
        return rebuild_pb2.StartRebuildResponse(rebuild=self.world.rebuilds[0])

    async def WatchRebuild(self, request: rebuild_pb2.WatchRebuildRequest, context: Any) -> AsyncIterator[Any]:
        await self.world.called("WatchRebuild", request)
        for rebuild in self.world.rebuilds:
            yield rebuild_pb2.WatchRebuildResponse(rebuild=rebuild)


class Passages(passages_pb2_grpc.PassageServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def GetPassage(self, request: passages_pb2.GetPassageRequest, context: Any) -> Any:
        await self.world.called("GetPassage", request)
        if request.passage_id not in self.world.passages:
            raise not_found("passage", request.passage_id)
        passage = self.world.passages[request.passage_id]
        return passages_pb2.GetPassageResponse(
            passage=passage, before=[passage] * request.before_count, after=[passage] * request.after_count
        )

    async def BatchGetPassages(self, request: passages_pb2.BatchGetPassagesRequest, context: Any) -> Any:
        await self.world.called("BatchGetPassages", request)
        found = [self.world.passages[one] for one in request.passage_ids if one in self.world.passages]
        return passages_pb2.BatchGetPassagesResponse(passages=found)


class Index(index_pb2_grpc.IndexServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def Search(self, request: index_pb2.SearchRequest, context: Any) -> Any:
        await self.world.called("Search", request)
        await self.world.pause("Search")
        end = request.offset + request.limit
        response = index_pb2.SearchResponse(hits=self.world.ranking[request.offset : end], has_more=len(self.world.ranking) > end)
        for stage in ("embed", "analyse", "retrieve", "fuse", "total"):
            getattr(response.timings, stage).FromMilliseconds(2)
        if request.explain:
            response.timings.explain.FromMilliseconds(2)
            response.explanation.dense_weight = 0.25
            response.explanation.words.add(text="texts", terms=["text"])
            for hit in response.hits:
                hit.explanation.dense_share, hit.explanation.lexical_share, hit.explanation.held_clauses[:] = 0.1, 0.9, [0]
                hit.explanation.matched_words.add(text="texts", terms=["text"], count=2, score=3.5)
        return response

    async def LocateTerms(self, request: index_pb2.LocateTermsRequest, context: Any) -> Any:
        await self.world.called("LocateTerms", request)
        spans = [index_pb2.TermSpan(term="text", start=0, end=4)]
        return index_pb2.LocateTermsResponse(texts=[index_pb2.LocatedTerms(spans=spans) for _ in request.texts])


class Embedding(embedding_pb2_grpc.EmbeddingServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def ListModels(self, request: embedding_pb2.ListModelsRequest, context: Any) -> Any:
        model = embedding_pb2.Model(name="minilm", dimension=384, state=embedding_pb2.MODEL_STATE_READY, device="cpu")
        return embedding_pb2.ListModelsResponse(models=[model], current_model="minilm")


def job(job_id: str, state: jobs_pb2.JobState.ValueType, *, total: int = 1, done: int = 0) -> jobs_pb2.Job:
    return jobs_pb2.Job(
        job_id=job_id, collection_id="col_0", kind=jobs_pb2.JOB_KIND_INGEST, state=state, total_count=total, done_count=done
    )


async def start(world: World, signer: CallerSigner) -> ServiceServer:
    """All services of all three on one port."""
    server = ServiceServer("back", signer=signer, service_names=NAMES)
    servicers: list[tuple[Any, Any]] = [
        (collections_pb2_grpc.add_CollectionServiceServicer_to_server, Collections),
        (documents_pb2_grpc.add_DocumentServiceServicer_to_server, Documents),
        (jobs_pb2_grpc.add_JobServiceServicer_to_server, Jobs),
        (reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server, Reconciling),
        (rebuild_pb2_grpc.add_RebuildServiceServicer_to_server, Rebuilding),
        (passages_pb2_grpc.add_PassageServiceServicer_to_server, Passages),
        (index_pb2_grpc.add_IndexServiceServicer_to_server, Index),
        (embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server, Embedding),
        (generation_pb2_grpc.add_GenerationServiceServicer_to_server, Generation),
    ]
    for register, servicer in servicers:
        register(servicer(world), server.grpc_server)
    await server.start("127.0.0.1:0")
    await server.health.set_serving(True)
    return server
