"""An ingestor that serves, with a client for each of its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
from google.protobuf.struct_pb2 import Struct

from ingestor.migrations import FOLDER, SCHEMA
from ingestor.server import serve
from ingestor.settings import IngestorSettings
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
from shared.caller import Caller
from shared.errors import AppError
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import acting_for, open_channel, peer_errors
from tests.integration.ingestor.dictionary_embedder import Index, Indexes

Result = TypeVar("Result")
WAIT_SECONDS = 20.0
ENDED = {jobs_pb2.JOB_STATE_SUCCEEDED, jobs_pb2.JOB_STATE_FAILED, jobs_pb2.JOB_STATE_CANCELLED}


@dataclass(slots=True)
class Library:
    """Calls on behalf of one organisation."""

    organisation_id: str
    channel: grpc.aio.Channel
    database_url: str
    indexes: Indexes

    def for_organisation(self, organisation_id: str) -> Library:
        return Library(organisation_id, self.channel, self.database_url, self.indexes)

    @property
    def index(self) -> Index:
        """What the embedder keeps for the organisation."""
        return self.indexes[self.organisation_id]

    @property
    def collections(self) -> Any:
        return collections_pb2_grpc.CollectionServiceStub(self.channel)

    @property
    def documents(self) -> Any:
        return documents_pb2_grpc.DocumentServiceStub(self.channel)

    @property
    def jobs(self) -> Any:
        return jobs_pb2_grpc.JobServiceStub(self.channel)

    @property
    def passages(self) -> Any:
        return passages_pb2_grpc.PassageServiceStub(self.channel)

    async def reconcile(self, *, repair: bool = False) -> reconcile_pb2.ReconcileResponse:
        """The last message of a reconciliation."""
        stub: Any = reconcile_pb2_grpc.ReconcileServiceStub(self.channel)
        with self.calling():
            reports: list[reconcile_pb2.ReconcileResponse] = [
                report async for report in stub.Reconcile(reconcile_pb2.ReconcileRequest(repair=repair), timeout=WAIT_SECONDS)
            ]
        assert reports[-1].stage == reconcile_pb2.RECONCILE_STAGE_ENDED
        return reports[-1]

    @property
    def rebuilds(self) -> Any:
        return rebuild_pb2_grpc.RebuildServiceStub(self.channel)

    async def start_rebuild(self) -> None:
        with acting_for(Caller("*", "service:test")), peer_errors("ingestor"):
            await self.rebuilds.StartRebuild(rebuild_pb2.StartRebuildRequest(), timeout=WAIT_SECONDS)

    async def rebuilt(self) -> rebuild_pb2.Rebuild:
        """The newest rebuild once it has ended, by watching it."""
        with acting_for(Caller("*", "service:test")), peer_errors("ingestor"):
            async for response in self.rebuilds.WatchRebuild(rebuild_pb2.WatchRebuildRequest(), timeout=WAIT_SECONDS):
                rebuild: rebuild_pb2.Rebuild = response.rebuild
        return rebuild

    async def rebuild_state(self) -> str:
        """What is remembered of the newest rebuild."""
        return str((await self.query("SELECT state FROM library.index_rebuild ORDER BY create_time DESC LIMIT 1"))[0]["state"])

    @contextmanager
    def calling_raw(self) -> Iterator[None]:
        """Calls inside act for the organisation."""
        with acting_for(Caller(self.organisation_id, "user:test")):
            yield

    @contextmanager
    def calling(self) -> Iterator[None]:
        """The same, with what calls raise turned into AppErrors."""
        with self.calling_raw(), peer_errors("ingestor"):
            yield

    async def call(self, method: Callable[..., Awaitable[Result]], request: Any) -> Result:
        with self.calling():
            return await method(request, timeout=WAIT_SECONDS)

    async def create_collection(self, name: str = "library", **fields: Any) -> collections_pb2.Collection:
        response = await self.call(self.collections.CreateCollection, collections_pb2.CreateCollectionRequest(name=name, **fields))
        collection: collections_pb2.Collection = response.collection
        return collection

    async def get_collection(self, name: str = "library") -> collections_pb2.Collection:
        response = await self.call(self.collections.GetCollection, collections_pb2.GetCollectionRequest(collection=name))
        collection: collections_pb2.Collection = response.collection
        return collection

    async def upload(
        self, content: bytes | str = b"", *, collection: str = "library", metadata: dict[str, Any] | None = None, **header: Any
    ) -> documents_pb2.UploadDocumentResponse:
        data = content.encode() if isinstance(content, str) else content
        message = documents_pb2.DocumentHeader(collection=collection, **header)
        if metadata is not None:
            message.metadata.CopyFrom(struct(metadata))
        requests = [documents_pb2.UploadDocumentRequest(header=message)]
        requests += [documents_pb2.UploadDocumentRequest(chunk=data[at : at + 500_000]) for at in range(0, len(data), 500_000)]
        requests[-1].last = True
        response: documents_pb2.UploadDocumentResponse = await self.call(self.documents.UploadDocument, _each(requests))
        return response

    async def batch(
        self, entries: Iterable[documents_pb2.BatchEntry], *, collection: str = "library", size: int = 500
    ) -> documents_pb2.BatchCreateDocumentsResponse:
        listed = list(entries)
        requests = [documents_pb2.BatchCreateDocumentsRequest(header=documents_pb2.BatchHeader(collection=collection))]
        requests += [
            documents_pb2.BatchCreateDocumentsRequest(entries=documents_pb2.BatchEntries(entries=listed[at : at + size]))
            for at in range(0, len(listed), size)
        ]
        requests[-1].last = True
        response: documents_pb2.BatchCreateDocumentsResponse = await self.call(self.documents.BatchCreateDocuments, _each(requests))
        return response

    async def get(self, document_id: str, *, pages: bool = False) -> documents_pb2.Document:
        request = documents_pb2.GetDocumentRequest(document_id=document_id, include_pages=pages)
        document: documents_pb2.Document = (await self.call(self.documents.GetDocument, request)).document
        return document

    async def delete(self, document_id: str) -> documents_pb2.DeletionReceipt:
        request = documents_pb2.DeleteDocumentRequest(document_id=document_id)
        receipt: documents_pb2.DeletionReceipt = (await self.call(self.documents.DeleteDocument, request)).receipt
        return receipt

    async def receipt(self, document_id: str) -> documents_pb2.DeletionReceipt:
        request = documents_pb2.GetDeletionReceiptRequest(document_id=document_id)
        receipt: documents_pb2.DeletionReceipt = (await self.call(self.documents.GetDeletionReceipt, request)).receipt
        return receipt

    async def job(self, job_id: str) -> jobs_pb2.Job:
        job: jobs_pb2.Job = (await self.call(self.jobs.GetJob, jobs_pb2.GetJobRequest(job_id=job_id))).job
        return job

    async def ended(self, job_id: str, *, seconds: float = WAIT_SECONDS) -> jobs_pb2.Job:
        """The job once it has ended, by watching it."""
        with self.calling():
            async for response in self.jobs.WatchJob(jobs_pb2.WatchJobRequest(job_id=job_id), timeout=seconds):
                if response.job.state in ENDED:
                    job: jobs_pb2.Job = response.job
        return job

    async def read(self, *passage_ids: str) -> list[passages_pb2.Passage]:
        request = passages_pb2.BatchGetPassagesRequest(passage_ids=passage_ids)
        return list((await self.call(self.passages.BatchGetPassages, request)).passages)

    async def visible(self, document_id: str) -> list[passages_pb2.Passage]:
        """What a search that finds every row of the document in the index would show of it, in reading order."""
        found = await self.read(*(row.passage.passage_id for row in self.index.of(document_id)))
        return sorted(found, key=lambda passage: passage.ordinal)

    async def query(self, statement: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()


def struct(values: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(values)
    return message


async def _each(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


async def eventually(condition: Callable[[], Awaitable[Any]], *, seconds: float = WAIT_SECONDS) -> None:
    """Return when ``condition`` holds; for what announces itself to nobody."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # rows can only be looked at
            await asyncio.sleep(0.02)


async def error_of(call: Awaitable[Any]) -> AppError:
    """The error that ``call`` ends with."""
    try:
        await call
    except AppError as error:
        return error
    raise AssertionError("the call succeeded")


def ingestor_settings(database_url: str, files: Path, internal_key: bytes, embedder_port: int, **changes: Any) -> IngestorSettings:
    settings: dict[str, Any] = {
        "LECTERN_INTERNAL_KEY": internal_key.hex(),
        "listen": "127.0.0.1:0",
        "database_url": database_url,
        "object_store_url": files.as_uri(),
        "embedder_target": f"127.0.0.1:{embedder_port}",
        "parser_processes": 1,
        "queue": {"lease_seconds": 2.0, "poll_seconds": 0.2},
        "drain_seconds": 1.0,
        "reconciliation": {"every_hours": 0, "grace_seconds": 0},
        "limits": {"document_bytes": 1024 * 1024, "memory_bytes": 16 * 1024 * 1024},
    }
    return IngestorSettings(**(settings | changes))


@asynccontextmanager
async def open_library(settings: IngestorSettings, indexes: Indexes) -> AsyncIterator[Library]:
    """Serve ``settings`` over a database with the newest schema, and call it as one organisation."""
    database_url = settings.database_url.get_secret_value()
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    async with serve(settings) as running, open_channel(f"127.0.0.1:{running.port}", signer) as channel:
        yield Library("acme", channel, database_url, indexes)
