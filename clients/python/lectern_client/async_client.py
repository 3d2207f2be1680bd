"""The asynchronous client: the same methods as the blocking one, to be awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from lectern_client import operations
from lectern_client.assistants import AsyncAssistants
from lectern_client.async_chats import AsyncChats, AsyncFolders, AsyncSettings
from lectern_client.async_transport import AsyncTransport
from lectern_client.calls import RetryPolicy
from lectern_client.client import DEFAULT_URL
from lectern_client.errors import LecternError, ProtocolError
from lectern_client.models import (
    Answer,
    ApiKey,
    AskComplete,
    AskEvent,
    BatchUploaded,
    Collection,
    CollectionDeleted,
    DeletionReceipt,
    Document,
    EmbeddingModels,
    IndexRebuild,
    Job,
    JobDocument,
    LanguageModels,
    NewApiKey,
    NewOrganisation,
    Organisation,
    PassageInContext,
    ReconcileReport,
    SearchResult,
    Uploaded,
)
from lectern_client.providers import AsyncProviders
from lectern_client.resource import AsyncResource
from lectern_client.search_history import AsyncSearchHistory
from lectern_client.streams import WATCH_PATIENCE_SECONDS, WATCH_RECONNECT_SECONDS, ask_event, job_event, may_heal, model_event


class AsyncLectern:
    """A connection to a Lectern server, for one event loop. Use it as an async context manager, or `close` it.

    The methods are those of `Lectern`, where they are described; here they are awaited, and lists and streams are async iterators.
    Cancelling a call ends its request.
    """

    def __init__(self, url: str = DEFAULT_URL, api_key: str | None = None, *, retries: RetryPolicy | None = None) -> None:
        self._transport = AsyncTransport(url, api_key, retries or RetryPolicy())
        self.assistants = AsyncAssistants(self._transport)
        self.chats = AsyncChats(self._transport)
        self.folders = AsyncFolders(self._transport)
        self.settings = AsyncSettings(self._transport)
        self.collections = AsyncCollections(self._transport)
        self.documents = AsyncDocuments(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.organisations = AsyncOrganisations(self._transport)
        self.providers = AsyncProviders(self._transport)
        self.api_keys = AsyncApiKeys(self._transport)
        self.search_history = AsyncSearchHistory(self._transport)

    @property
    def url(self) -> str:
        return self._transport.url

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def search(
        self,
        query: str,
        *,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # the field's name in the API
        limit: int = 10,
        literal: bool = False,
        group: bool = False,
        explain: bool = False,
        history: bool = True,
    ) -> SearchResult:
        wishes: operations.Wishes = {"literal": literal, "group": group, "explain": explain, "history": history}
        call = operations.search(query, collections, filter, limit, **wishes)
        return await self._transport.send(call)

    async def ask(
        self,
        question: str,
        *,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        assistant: str | None = None,
        model: str | None = None,
        language: str | None = None,
        literal: bool = False,
    ) -> Answer:
        chosen: operations.Choice = {"assistant": assistant, "answer_model": model, "language": language, "literal": literal}
        return await self._transport.send(operations.ask(question, collections, filter, **chosen, stream=False))

    async def ask_stream(
        self,
        question: str,
        *,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        assistant: str | None = None,
        model: str | None = None,
        language: str | None = None,
        literal: bool = False,
    ) -> AsyncGenerator[AskEvent, None]:
        chosen: operations.Choice = {"assistant": assistant, "answer_model": model, "language": language, "literal": literal}
        call = operations.ask(question, collections, filter, **chosen, stream=True)
        async with aclosing(self._transport.events(call)) as events:
            async for event in events:
                known = ask_event(event)
                if known is not None:
                    yield known
                if isinstance(known, AskComplete):
                    return
        raise ProtocolError("The answer ended before it was complete. Ask again.")

    async def passage(self, passage_id: str, *, around: int = 0, before: int | None = None, after: int | None = None) -> PassageInContext:
        return await self._transport.send(operations.get_passage(passage_id, around, before, after))

    async def embedding_models(self) -> EmbeddingModels:
        return await self._transport.send(operations.embedding_models())

    async def language_models(self) -> LanguageModels:
        return await self._transport.send(operations.language_models())

    async def set_default_model(self, model: str) -> LanguageModels:
        return await self._transport.send(operations.set_default_model(model))

    async def reconcile(self, *, repair: bool = False) -> AsyncGenerator[ReconcileReport, None]:
        async with aclosing(self._transport.events(operations.reconcile(repair=repair))) as events:
            async for event in events:
                yield model_event(event, ReconcileReport)

    async def reindex(self, *, follow: bool = False) -> AsyncGenerator[IndexRebuild, None]:
        async with aclosing(self._transport.events(operations.reindex(follow=follow))) as events:
            async for event in events:
                yield model_event(event, IndexRebuild)


class AsyncCollections(AsyncResource):
    """Named sets of documents; ``collection`` is an id or a name."""

    async def create(
        self,
        name: str,
        *,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Collection:
        return await self._transport.send(operations.create_collection(name, description, metadata, settings))

    async def get(self, collection: str) -> Collection:
        return await self._transport.send(operations.get_collection(collection))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[Collection, None]:
        return self._all(operations.list_collections(page_size))

    async def update(self, collection: str, **changes: Any) -> Collection:
        return await self._transport.send(operations.update_collection(collection, changes))

    async def delete(self, collection: str) -> CollectionDeleted:
        return await self._transport.send(operations.delete_collection(collection))


class AsyncDocuments(AsyncResource):
    """Documents; in its collection one is known by its external id, or by its name where it has none."""

    async def upload(
        self,
        collection: str,
        source: Path | str | BinaryIO,
        *,
        name: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = False,
    ) -> Uploaded:
        source = Path(source) if isinstance(source, str) else source
        call = operations.upload_file(collection, source, name=name, external_id=external_id, metadata=metadata, wait=wait)
        return await self._transport.send(call)

    async def create(self, collection: str, *, wait: bool = False, **body: Any) -> Uploaded:
        return await self._transport.send(operations.create_document(collection, body, wait=wait))

    async def create_batch(self, collection: str, entries: Iterable[Mapping[str, Any]] | Path) -> BatchUploaded:
        return await self._transport.send(operations.create_batch(collection, entries))

    def list(self, collection: str, *, state: str | None = None, page_size: int | None = None) -> AsyncGenerator[Document, None]:
        return self._all(operations.list_documents(collection, state, page_size))

    def filter(
        self,
        query: str = "",
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        collections: Sequence[str] = (),
        page_size: int | None = None,
    ) -> AsyncGenerator[Document, None]:
        return self._all(operations.filter_documents(query, filter, collections, page_size))

    async def get(self, document_id: str, *, pages: bool = False) -> Document:
        return await self._transport.send(operations.get_document(document_id, pages_too=pages))

    async def update(self, document_id: str, **changes: Any) -> Document:
        return await self._transport.send(operations.update_document(document_id, changes))

    async def delete(self, document_id: str) -> DeletionReceipt:
        return await self._transport.send(operations.delete_document(document_id))

    async def deletion_receipt(self, document_id: str) -> DeletionReceipt:
        return await self._transport.send(operations.get_deletion_receipt(document_id))


class AsyncJobs(AsyncResource):
    """Work that outlives the request that asked for it."""

    async def get(self, job_id: str) -> Job:
        return await self._transport.send(operations.get_job(job_id))

    def list(
        self, *, collection: str | None = None, state: str | None = None, kind: str | None = None, page_size: int | None = None
    ) -> AsyncGenerator[Job, None]:
        return self._all(operations.list_jobs(collection, state, kind, page_size))

    def documents(self, job_id: str, *, state: str | None = None, page_size: int | None = None) -> AsyncGenerator[JobDocument, None]:
        """What became of its documents, in the order in which they came in."""
        return self._all(operations.list_job_documents(job_id, state, page_size))

    async def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        broken_since: float | None = None
        last_event_id = ""
        while True:
            try:
                async with aclosing(self._transport.events(operations.watch_job(job_id, last_event_id))) as events:
                    async for event in events:
                        broken_since = None
                        last_event_id = event.id or last_event_id
                        job = job_event(event)
                        yield job
                        if job.ended:
                            return
            except LecternError as error:
                broken_since = broken_since or time.monotonic()
                if not may_heal(error) or time.monotonic() - broken_since > WATCH_PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(WATCH_RECONNECT_SECONDS)

    async def wait(self, job_id: str) -> Job:
        async for job in self.watch(job_id):
            last = job
        return last

    async def cancel(self, job_id: str) -> Job:
        return await self._transport.send(operations.cancel_job(job_id))

    async def retry(self, job_id: str) -> Job:
        return await self._transport.send(operations.retry_job(job_id))


class AsyncOrganisations(AsyncResource):
    async def get(self, organisation_id: str) -> Organisation:
        return await self._transport.send(operations.get_organisation(organisation_id))

    async def create(self, name: str) -> NewOrganisation:
        return await self._transport.send(operations.create_organisation(name))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[Organisation, None]:
        return self._all(operations.list_organisations(page_size))


class AsyncApiKeys(AsyncResource):
    async def create(self, name: str, *, role: str | None = None, expire_time: datetime | None = None) -> NewApiKey:
        return await self._transport.send(operations.create_api_key(name, role, expire_time))

    def list(self, *, page_size: int | None = None) -> AsyncGenerator[ApiKey, None]:
        return self._all(operations.list_api_keys(page_size))

    async def revoke(self, api_key_id: str) -> None:
        await self._transport.send(operations.revoke_api_key(api_key_id))
