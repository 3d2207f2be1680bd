"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from lectern_client import operations
from lectern_client.assistants import Assistants
from lectern_client.calls import RetryPolicy
from lectern_client.chats import Chats, Folders, Settings
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
from lectern_client.providers import Providers
from lectern_client.resource import Resource
from lectern_client.search_history import SearchHistory
from lectern_client.streams import WATCH_PATIENCE_SECONDS, WATCH_RECONNECT_SECONDS, ask_event, job_event, may_heal, model_event
from lectern_client.transport import Transport

DEFAULT_URL = "http://127.0.0.1:8080"


class Lectern:
    """A connection to a Lectern server; threads may share it. Use it as a context manager, or `close` it.

    Every method blocks until the server has answered, and raises `ApiError` when it refused, `UnreachableError` when there is no
    connection, `TimedOutError` when it took too long. Refusals for now (429, 503) are tried again after the time that the server names.
    """

    def __init__(self, url: str = DEFAULT_URL, api_key: str | None = None, *, retries: RetryPolicy | None = None) -> None:
        """Connect to nothing yet; the first call does.

        Args:
            url: the gateway's address.
            api_key: sent as a bearer token.
            retries: how often refused calls are sent again.
        """
        self._transport = Transport(url, api_key, retries or RetryPolicy())
        self.assistants = Assistants(self._transport)
        self.chats = Chats(self._transport)
        self.folders = Folders(self._transport)
        self.settings = Settings(self._transport)
        self.collections = Collections(self._transport)
        self.documents = Documents(self._transport)
        self.jobs = Jobs(self._transport)
        self.organisations = Organisations(self._transport)
        self.providers = Providers(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.search_history = SearchHistory(self._transport)

    @property
    def url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
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
        """The passages that fit ``query`` best.

        Args:
            query: words or a question; operators of the query language mean something unless ``literal``.
            collections: ids or names; empty: all of the organisation.
            filter: which passages may be found.
            limit: hits at most.
            literal: take the query as plain text.
            group: say also which hits are of the same document and section.
            explain: say also why each hit stands where it stands.
            history: keep it in `search_history`.
        """
        wishes: operations.Wishes = {"literal": literal, "group": group, "explain": explain, "history": history}
        call = operations.search(query, collections, filter, limit, **wishes)
        return self._transport.send(call)

    def ask(
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
        """An answer from the documents, with its citations, once it is complete.

        Args:
            question: in any language.
            collections: ids or names; empty: all of the organisation.
            filter: which passages it may rest on.
            assistant: id or name of the one to ask; what is said here counts before what it says.
            model: one of the server's; None: the default one.
            language: ISO 639-1 code of the answer's language; None: the question's.
            literal: take the question as plain text, in which nothing is a condition.
        """
        chosen: operations.Choice = {"assistant": assistant, "answer_model": model, "language": language, "literal": literal}
        return self._transport.send(operations.ask(question, collections, filter, **chosen, stream=False))

    def ask_stream(
        self,
        question: str,
        *,
        collections: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        assistant: str | None = None,
        model: str | None = None,
        language: str | None = None,
        literal: bool = False,
    ) -> Iterator[AskEvent]:
        """The events of an answer as they come: metadata, deltas and citations, and last a complete.

        Closing the iterator stops the answer.

        Raises:
            ProtocolError: the stream ended before the answer was complete.
        """
        chosen: operations.Choice = {"assistant": assistant, "answer_model": model, "language": language, "literal": literal}
        for event in self._transport.events(operations.ask(question, collections, filter, **chosen, stream=True)):
            known = ask_event(event)
            if known is not None:
                yield known
            if isinstance(known, AskComplete):
                return
        raise ProtocolError("The answer ended before it was complete. Ask again.")

    def passage(self, passage_id: str, *, around: int = 0, before: int | None = None, after: int | None = None) -> PassageInContext:
        """A passage with the ``around`` passages on each side of it, or with as many ``before`` and ``after`` it."""
        return self._transport.send(operations.get_passage(passage_id, around, before, after))

    def embedding_models(self) -> EmbeddingModels:
        return self._transport.send(operations.embedding_models())

    def language_models(self) -> LanguageModels:
        return self._transport.send(operations.language_models())

    def set_default_model(self, model: str) -> LanguageModels:
        """Answer with ``model`` where nothing else is asked for; empty: as the server does by itself. For admins."""
        return self._transport.send(operations.set_default_model(model))

    def reconcile(self, *, repair: bool = False) -> Iterator[ReconcileReport]:
        """Compare the index with the organisation's documents, and with ``repair`` mend it: how far it is, and last what came of it."""
        return (model_event(event, ReconcileReport) for event in self._transport.events(operations.reconcile(repair=repair)))

    def reindex(self, *, follow: bool = False) -> Iterator[IndexRebuild]:
        """Rebuild the whole index, or with ``follow`` only look at the newest rebuild: how far it is, and last what came of it.

        Needs an operator's key. It goes on when the iterator is left.
        """
        return (model_event(event, IndexRebuild) for event in self._transport.events(operations.reindex(follow=follow)))


class Collections(Resource):
    """Named sets of documents; ``collection`` is an id or a name."""

    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Collection:
        return self._transport.send(operations.create_collection(name, description, metadata, settings))

    def get(self, collection: str) -> Collection:
        return self._transport.send(operations.get_collection(collection))

    def list(self, *, page_size: int | None = None) -> Iterator[Collection]:
        return self._all(operations.list_collections(page_size))

    def update(self, collection: str, **changes: Any) -> Collection:
        """Change ``name``, ``description``, ``metadata`` or ``settings``; what is not named stays."""
        return self._transport.send(operations.update_collection(collection, changes))

    def delete(self, collection: str) -> CollectionDeleted:
        """Delete it with its documents: nobody sees them from now on, and a job purges them."""
        return self._transport.send(operations.delete_collection(collection))


class Documents(Resource):
    """Documents; in its collection one is known by its external id, or by its name where it has none."""

    def upload(
        self,
        collection: str,
        source: Path | str | BinaryIO,
        *,
        name: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = False,
    ) -> Uploaded:
        """Upload a file, streamed. The same bytes again cost nothing.

        Args:
            collection: id or name.
            source: a path, or a file opened for reading bytes.
            name: shown to people; the file's own when None.
            external_id: your own id.
            metadata: free metadata; None keeps what an earlier upload gave.
            wait: return once the document is searchable or has failed, or after the server's patience.
        """
        source = Path(source) if isinstance(source, str) else source
        call = operations.upload_file(collection, source, name=name, external_id=external_id, metadata=metadata, wait=wait)
        return self._transport.send(call)

    def create(self, collection: str, *, wait: bool = False, **body: Any) -> Uploaded:
        """Create a document from ``text``, ``base64`` or ``url``, with ``name``, ``external_id`` and ``metadata`` as needed."""
        return self._transport.send(operations.create_document(collection, body, wait=wait))

    def create_batch(self, collection: str, entries: Iterable[Mapping[str, Any]] | Path) -> BatchUploaded:
        """Upload many texts as one job, streamed: mappings of ``id``, ``name``, ``text``, ``metadata``, or a file of such JSON lines.

        All are taken in, or none. An iterator that can't be read twice is sent once: a refusal for now is then raised.
        """
        return self._transport.send(operations.create_batch(collection, entries))

    def list(self, collection: str, *, state: str | None = None, page_size: int | None = None) -> Iterator[Document]:
        return self._all(operations.list_documents(collection, state, page_size))

    def filter(
        self,
        query: str = "",
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        collections: Sequence[str] = (),
        page_size: int | None = None,
    ) -> Iterator[Document]:
        """The documents that satisfy every condition, oldest first, in any state.

        Args:
            query: conditions in the query language, such as ``type:pdf updated:7d``.
            filter: conditions as JSON; they hold together with those of the query.
            collections: ids or names; empty: all of the organisation.
            page_size: how many are fetched at once.
        """
        return self._all(operations.filter_documents(query, filter, collections, page_size))

    def get(self, document_id: str, *, pages: bool = False) -> Document:
        return self._transport.send(operations.get_document(document_id, pages_too=pages))

    def update(self, document_id: str, **changes: Any) -> Document:
        """Change ``name`` or ``metadata``; what is not named stays, and nothing is embedded."""
        return self._transport.send(operations.update_document(document_id, changes))

    def delete(self, document_id: str) -> DeletionReceipt:
        return self._transport.send(operations.delete_document(document_id))

    def deletion_receipt(self, document_id: str) -> DeletionReceipt:
        """What a delete has removed so far, and when that was verified."""
        return self._transport.send(operations.get_deletion_receipt(document_id))


class Jobs(Resource):
    """Work that outlives the request that asked for it."""

    def get(self, job_id: str) -> Job:
        return self._transport.send(operations.get_job(job_id))

    def list(
        self, *, collection: str | None = None, state: str | None = None, kind: str | None = None, page_size: int | None = None
    ) -> Iterator[Job]:
        """Newest first; of one ``collection``, in one ``state``, of one ``kind`` where they are given."""
        return self._all(operations.list_jobs(collection, state, kind, page_size))

    def documents(self, job_id: str, *, state: str | None = None, page_size: int | None = None) -> Iterator[JobDocument]:
        """What became of its documents, in the order in which they came in."""
        return self._all(operations.list_job_documents(job_id, state, page_size))

    def watch(self, job_id: str) -> Iterator[Job]:
        """The job now, after each change, and a last time when it has ended; connects again when the stream breaks for a while."""
        broken_since: float | None = None
        last_event_id = ""
        while True:
            try:
                for event in self._transport.events(operations.watch_job(job_id, last_event_id)):
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
            time.sleep(WATCH_RECONNECT_SECONDS)

    def wait(self, job_id: str) -> Job:
        """The job once it has ended. Blocking: as long as it takes."""
        *_, last = self.watch(job_id)
        return last

    def cancel(self, job_id: str) -> Job:
        """Stop what has not been done yet; documents that are READY stay."""
        return self._transport.send(operations.cancel_job(job_id))

    def retry(self, job_id: str) -> Job:
        """Queue what failed or was cancelled again."""
        return self._transport.send(operations.retry_job(job_id))


class Organisations(Resource):
    def get(self, organisation_id: str) -> Organisation:
        return self._transport.send(operations.get_organisation(organisation_id))

    def create(self, name: str) -> NewOrganisation:
        """Make an organisation; for operators. Its first admin key is in the answer and never again."""
        return self._transport.send(operations.create_organisation(name))

    def list(self, *, page_size: int | None = None) -> Iterator[Organisation]:
        return self._all(operations.list_organisations(page_size))


class ApiKeys(Resource):
    def create(self, name: str, *, role: str | None = None, expire_time: datetime | None = None) -> NewApiKey:
        """Make a key; its text is in the answer and never again."""
        return self._transport.send(operations.create_api_key(name, role, expire_time))

    def list(self, *, page_size: int | None = None) -> Iterator[ApiKey]:
        return self._all(operations.list_api_keys(page_size))

    def revoke(self, api_key_id: str) -> None:
        self._transport.send(operations.revoke_api_key(api_key_id))
