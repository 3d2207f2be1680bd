"""Every route as a function that makes its call."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

from lectern_client.calls import API, Call, ListCall, found_of, given, list_of, model, ndjson, once, part
from lectern_client.models import (
    Answer,
    ApiKey,
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


class Wishes(TypedDict):
    """How a query is to be read, and what is to be said of its hits."""

    literal: bool
    group: bool
    explain: bool
    history: bool


class Choice(TypedDict):
    """How a question is to be answered."""

    assistant: str | None
    answer_model: str | None
    language: str | None
    literal: bool


# The server hands a whole upload on before it answers.
_UPLOAD_SECONDS = 900.0
_ANSWER_SECONDS = 200.0


def create_collection(
    name: str, description: str | None, metadata: Mapping[str, Any] | None, settings: Mapping[str, Any] | None
) -> Call[Collection]:
    body = given(name=name, description=description, metadata=metadata, settings=settings)
    return Call("POST", f"{API}/collections", model(Collection), json=body, headers=once())


def get_collection(collection: str) -> Call[Collection]:
    return Call("GET", f"{API}/collections/{part(collection)}", model(Collection))


def list_collections(page_size: int | None) -> Callable[[str], ListCall[Collection]]:
    return list_of(Collection, f"{API}/collections", page_size=page_size)


def update_collection(collection: str, changes: Mapping[str, Any]) -> Call[Collection]:
    return Call("PATCH", f"{API}/collections/{part(collection)}", model(Collection), json=dict(changes))


def delete_collection(collection: str) -> Call[CollectionDeleted]:
    return Call("DELETE", f"{API}/collections/{part(collection)}", model(CollectionDeleted), repeatable=False)


def upload_file(
    collection: str,
    source: Path | BinaryIO,
    *,
    name: str | None,
    external_id: str | None,
    metadata: Mapping[str, Any] | None,
    wait: bool,
) -> Call[Uploaded]:
    name = name or Path(getattr(source, "name", "document")).name
    fields = given(name=name, external_id=external_id, metadata=None if metadata is None else json.dumps(dict(metadata)))
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"

    @contextmanager
    def open_body() -> Iterator[dict[str, Any]]:
        if isinstance(source, Path):
            with source.open("rb") as file:
                yield {"data": fields, "files": {"file": (name, file, media_type)}}
        else:
            source.seek(0)
            yield {"data": fields, "files": {"file": (name, source, media_type)}}

    replayable = isinstance(source, Path) or source.seekable()
    path = f"{API}/collections/{part(collection)}/documents"
    query = {"wait": True} if wait else {}
    return Call(
        "POST",
        path,
        model(Uploaded),
        query=query,
        open_body=open_body,
        replayable=replayable,
        headers=once(),
        read_seconds=_UPLOAD_SECONDS,
    )


def create_document(collection: str, body: Mapping[str, Any], *, wait: bool) -> Call[Uploaded]:
    path = f"{API}/collections/{part(collection)}/documents"
    query = {"wait": True} if wait else {}
    return Call("POST", path, model(Uploaded), query=query, json=dict(body), headers=once(), read_seconds=_UPLOAD_SECONDS)


def create_batch(collection: str, entries: Iterable[Mapping[str, Any]] | Path) -> Call[BatchUploaded]:
    @contextmanager
    def open_body() -> Iterator[dict[str, Any]]:
        if isinstance(entries, Path):
            with entries.open("rb") as file:
                yield {"content": file}
        else:
            yield {"content": ndjson(iter(entries))}

    return Call(
        "POST",
        f"{API}/collections/{part(collection)}/documents:batch",
        model(BatchUploaded),
        open_body=open_body,
        replayable=isinstance(entries, Path | Sequence),
        headers={"content-type": "application/x-ndjson", **once()},
        read_seconds=_UPLOAD_SECONDS,
    )


def list_documents(collection: str, state: str | None, page_size: int | None) -> Callable[[str], ListCall[Document]]:
    return list_of(Document, f"{API}/collections/{part(collection)}/documents", state=state, page_size=page_size)


def get_document(document_id: str, *, pages_too: bool) -> Call[Document]:
    query = {"expand": "pages"} if pages_too else {}
    return Call("GET", f"{API}/documents/{part(document_id)}", model(Document), query=query)


def update_document(document_id: str, changes: Mapping[str, Any]) -> Call[Document]:
    return Call("PATCH", f"{API}/documents/{part(document_id)}", model(Document), json=dict(changes))


def delete_document(document_id: str) -> Call[DeletionReceipt]:
    return Call("DELETE", f"{API}/documents/{part(document_id)}", model(DeletionReceipt), repeatable=False)


def get_deletion_receipt(document_id: str) -> Call[DeletionReceipt]:
    return Call("GET", f"{API}/documents/{part(document_id)}/deletion-receipt", model(DeletionReceipt))


def get_passage(passage_id: str, around: int, before: int | None, after: int | None) -> Call[PassageInContext]:
    query = {"around": around or None, "before": before, "after": after}
    return Call("GET", f"{API}/passages/{part(passage_id)}", model(PassageInContext), query=query)


def search(
    query: str,
    collections: Sequence[str],
    filter_: Mapping[str, Any] | None,
    limit: int,
    *,
    literal: bool,
    group: bool,
    explain: bool,
    history: bool,
) -> Call[SearchResult]:
    asked = {"literal": literal or None, "group": group or None, "explain": explain or None, "history": None if history else False}
    body = given(query=query, collections=list(collections) or None, filter=filter_, limit=limit, **asked)
    return Call("POST", f"{API}/search", model(SearchResult), json=body)


def filter_documents(
    query: str, filter_: Mapping[str, Any] | None, collections: Sequence[str], page_size: int | None
) -> Callable[[str], ListCall[Document]]:
    body = given(query=query or None, filter=filter_, collections=list(collections) or None, page_size=page_size)
    return found_of(Document, f"{API}/filter", body)


def ask(
    question: str,
    collections: Sequence[str],
    filter_: Mapping[str, Any] | None,
    *,
    assistant: str | None,
    answer_model: str | None,
    language: str | None,
    literal: bool,
    stream: bool,
) -> Call[Answer]:
    body = given(
        question=question,
        collections=list(collections) or None,
        filter=filter_,
        assistant=assistant,
        model=answer_model,
        language=language,
        literal=literal or None,
        stream=stream or None,
    )
    return Call("POST", f"{API}/ask", model(Answer), json=body, repeatable=False, read_seconds=_ANSWER_SECONDS)


def embedding_models() -> Call[EmbeddingModels]:
    return Call("GET", f"{API}/embedding-models", model(EmbeddingModels))


def language_models() -> Call[LanguageModels]:
    return Call("GET", f"{API}/llm-models", model(LanguageModels))


def set_default_model(name: str) -> Call[LanguageModels]:
    return Call("PATCH", f"{API}/llm-models", model(LanguageModels), json={"default_model": name})


def get_job(job_id: str) -> Call[Job]:
    return Call("GET", f"{API}/jobs/{part(job_id)}", model(Job))


def list_jobs(collection: str | None, state: str | None, kind: str | None, page_size: int | None) -> Callable[[str], ListCall[Job]]:
    return list_of(Job, f"{API}/jobs", collection=collection, state=state, kind=kind, page_size=page_size)


def list_job_documents(job_id: str, state: str | None, page_size: int | None) -> Callable[[str], ListCall[JobDocument]]:
    return list_of(JobDocument, f"{API}/jobs/{part(job_id)}/documents", state=state, page_size=page_size)


def watch_job(job_id: str, last_event_id: str) -> Call[Job]:
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    return Call("GET", f"{API}/jobs/{part(job_id)}/events", model(Job), headers=headers)


def cancel_job(job_id: str) -> Call[Job]:
    return Call("POST", f"{API}/jobs/{part(job_id)}:cancel", model(Job))


def retry_job(job_id: str) -> Call[Job]:
    return Call("POST", f"{API}/jobs/{part(job_id)}:retry", model(Job), repeatable=False)


def reconcile(*, repair: bool) -> Call[ReconcileReport]:
    return Call("POST", f"{API}/reconcile", model(ReconcileReport), json={"repair": repair})


def reindex(*, follow: bool) -> Call[IndexRebuild]:
    return Call("POST", f"{API}/reindex", model(IndexRebuild), json={"follow": follow}, repeatable=False)


def create_organisation(name: str) -> Call[NewOrganisation]:
    return Call("POST", f"{API}/organisations", model(NewOrganisation), json={"name": name}, headers=once())


def get_organisation(organisation_id: str) -> Call[Organisation]:
    return Call("GET", f"{API}/organisations/{part(organisation_id)}", model(Organisation))


def list_organisations(page_size: int | None) -> Callable[[str], ListCall[Organisation]]:
    return list_of(Organisation, f"{API}/organisations", page_size=page_size)


def create_api_key(name: str, role: str | None, expire_time: datetime | None) -> Call[NewApiKey]:
    body = given(name=name, role=role, expire_time=expire_time and expire_time.isoformat())
    return Call("POST", f"{API}/api-keys", model(NewApiKey), json=body, headers=once())


def list_api_keys(page_size: int | None) -> Callable[[str], ListCall[ApiKey]]:
    return list_of(ApiKey, f"{API}/api-keys", page_size=page_size)


def revoke_api_key(api_key_id: str) -> Call[None]:
    return Call("DELETE", f"{API}/api-keys/{part(api_key_id)}", lambda _: None)
