"""Between messages and domain types; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.json_format import Error as JsonFormatError
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ingestor.domain.collections import Collection
from ingestor.domain.documents import DeletionReceipt, Document, DocumentState, Page
from ingestor.domain.drift import DriftKind
from ingestor.domain.incoming import DocumentHeader, TextEntry
from ingestor.domain.jobs import Job, JobDocument, JobKind, JobState, JobStep, TaskState
from ingestor.domain.metadata import Metadata
from ingestor.domain.passages import Passage
from ingestor.domain.rebuild import Rebuild, RebuildState
from ingestor.domain.reconcile import ReconcileStage, Report
from ingestor.domain.tasks import Stage, Step
from lectern.ingestor.v1 import collections_pb2, documents_pb2, jobs_pb2, passages_pb2, rebuild_pb2, reconcile_pb2
from shared.errors import invalid_argument

Named = TypeVar("Named")
_DOCUMENT_STATES = {state: documents_pb2.DocumentState.Value(f"DOCUMENT_STATE_{state}") for state in DocumentState}
_JOB_STATES = {state: jobs_pb2.JobState.Value(f"JOB_STATE_{state}") for state in JobState}
_JOB_KINDS = {kind: jobs_pb2.JobKind.Value(f"JOB_KIND_{kind}") for kind in JobKind}
_DRIFT_KINDS = {kind: reconcile_pb2.DriftKind.Value(f"DRIFT_KIND_{kind}") for kind in DriftKind}
_RECONCILE_STAGES = {stage: reconcile_pb2.ReconcileStage.Value(f"RECONCILE_STAGE_{stage}") for stage in ReconcileStage}
_REBUILD_STATES = {state: rebuild_pb2.RebuildState.Value(f"REBUILD_STATE_{state}") for state in RebuildState}
_TASK_STATES = {state: jobs_pb2.TaskState.Value(f"TASK_STATE_{state}") for state in TaskState}
_STEPS = {step: jobs_pb2.Step.Value(f"STEP_{step}") for step in Step}
_STAGES = {stage: jobs_pb2.TaskStage.Value(f"TASK_STAGE_{stage}") for stage in Stage}


def from_metadata(message: Struct) -> Metadata:
    """The metadata of ``message``.

    Raises:
        AppError: METADATA_INVALID for numbers that JSON does not know.
    """
    try:
        metadata: Metadata = MessageToDict(message)
    except (JsonFormatError, ValueError, RecursionError) as error:
        raise invalid_argument("METADATA_INVALID", "Metadata must be JSON: numbers must be finite.", field="metadata") from error
    return metadata


def to_metadata(metadata: Metadata) -> Struct:
    message = Struct()
    message.update(metadata)
    return message


def to_timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def to_collection(collection: Collection) -> collections_pb2.Collection:
    return collections_pb2.Collection(
        collection_id=collection.collection_id,
        name=collection.name,
        description=collection.description,
        metadata=to_metadata(collection.metadata),
        settings=collections_pb2.CollectionSettings(passage_tokens=collection.passage_tokens),
        document_count=collection.document_count,
        passage_count=collection.passage_count,
        create_time=to_timestamp(collection.create_time),
        update_time=to_timestamp(collection.update_time),
    )


def from_header(header: documents_pb2.DocumentHeader) -> DocumentHeader:
    return DocumentHeader(
        collection=header.collection,
        external_id=header.external_id,
        name=header.name,
        metadata=from_metadata(header.metadata) if header.HasField("metadata") else None,
        declared_media_type=header.declared_media_type,
        url=header.url,
        uri=header.uri,
    )


def from_entry(entry: documents_pb2.BatchEntry) -> TextEntry:
    return TextEntry(
        external_id=entry.external_id,
        name=entry.name,
        text=entry.text,
        metadata=from_metadata(entry.metadata) if entry.HasField("metadata") else None,
    )


def to_document(document: Document, pages: Sequence[Page] = ()) -> documents_pb2.Document:
    return documents_pb2.Document(
        document_id=document.document_id,
        collection_id=document.collection_id,
        external_id=document.external_id,
        name=document.name,
        type=document.type,
        uri=document.uri,
        metadata=to_metadata(document.metadata),
        state=_DOCUMENT_STATES[document.state],
        reason=document.reason,
        message=document.message,
        size_bytes=document.size_bytes,
        content_sha256=document.content_sha256,
        page_count=document.page_count,
        passage_count=document.passage_count,
        visible_generation=document.visible_generation,
        author=document.author,
        language=document.language,
        title=document.title,
        create_time=to_timestamp(document.create_time),
        update_time=to_timestamp(document.update_time),
        indexed_time=to_timestamp(document.indexed_time),
        pages=[documents_pb2.Page(number=page.number, text=page.text) for page in pages],
    )


def from_document_state(state: documents_pb2.DocumentState.ValueType) -> DocumentState | None:
    return _named(_DOCUMENT_STATES, state, "document state")


def from_job_state(state: jobs_pb2.JobState.ValueType) -> JobState | None:
    return _named(_JOB_STATES, state, "job state")


def from_job_kind(kind: jobs_pb2.JobKind.ValueType) -> JobKind | None:
    return _named(_JOB_KINDS, kind, "job kind", field="kind")


def from_task_state(state: jobs_pb2.TaskState.ValueType) -> TaskState | None:
    return _named(_TASK_STATES, state, "task state")


def _named(values: Mapping[Named, int], wanted: int, what: str, *, field: str = "state") -> Named | None:
    """The one that is asked for; None for all.

    Raises:
        AppError: STATE_UNKNOWN or KIND_UNKNOWN.
    """
    if not wanted:
        return None
    for known, value in values.items():
        if value == wanted:
            return known
    raise invalid_argument(f"{field.upper()}_UNKNOWN", f"There is no {what} {wanted}.", field=field)


def to_receipt(receipt: DeletionReceipt) -> documents_pb2.DeletionReceipt:
    return documents_pb2.DeletionReceipt(
        document_id=receipt.document_id,
        job_id=receipt.job_id,
        deleted_time=to_timestamp(receipt.deleted_time),
        purge_verified_time=to_timestamp(receipt.purge_verified_time),
        passage_count=receipt.passage_count,
        vector_count=receipt.vector_count,
        file_count=receipt.file_count,
    )


def to_job(job: Job) -> jobs_pb2.Job:
    message = jobs_pb2.Job(
        job_id=job.job_id,
        collection_id=job.collection_id,
        kind=_JOB_KINDS[job.kind],
        state=_JOB_STATES[job.state],
        stage=_STAGES[job.stage] if job.stage else jobs_pb2.TASK_STAGE_UNSPECIFIED,
        total_count=job.total_count,
        done_count=job.done_count,
        failed_count=job.failed_count,
        cancelled_count=job.cancelled_count,
        steps=[_to_step(step) for step in job.steps],
        embedded_count=job.embedded_count,
        reused_count=job.reused_count,
        passage_count=job.passage_count,
        failures=[
            jobs_pb2.TaskFailure(
                document_id=failure.document_id,
                document_name=failure.document_name,
                external_id=failure.external_id,
                reason=failure.reason,
                message=failure.message,
            )
            for failure in job.failures
        ],
        create_time=to_timestamp(job.create_time),
        end_time=to_timestamp(job.end_time),
    )
    if job.eta is not None:
        message.eta.FromTimedelta(job.eta)
    return message


def _to_step(step: JobStep) -> jobs_pb2.JobStep:
    message = jobs_pb2.JobStep(
        step=_STEPS[step.step],
        waiting_count=step.waiting,
        running_count=step.running,
        done_count=step.done,
        failed_count=step.failed,
        begin_time=to_timestamp(step.time.begin_time if step.time else None),
        end_time=to_timestamp(step.time.end_time if step.time else None),
    )
    if step.time is not None:
        message.work.FromTimedelta(timedelta(seconds=step.time.work_seconds))
    return message


def to_job_document(document: JobDocument) -> jobs_pb2.JobDocument:
    return jobs_pb2.JobDocument(
        document_id=document.document_id,
        document_name=document.document_name,
        external_id=document.external_id,
        state=_TASK_STATES[document.state],
        stage=_STAGES[document.stage],
        reason=document.reason,
        message=document.message,
        embedded_count=document.embedded_count,
        reused_count=document.reused_count,
        start_time=to_timestamp(document.start_time),
        end_time=to_timestamp(document.end_time),
    )


def to_passage(passage: Passage) -> passages_pb2.Passage:
    return passages_pb2.Passage(
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        collection_id=passage.collection_id,
        collection_name=passage.collection_name,
        document_name=passage.document_name,
        external_id=passage.external_id,
        ordinal=passage.ordinal,
        text=passage.text,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        headings=passage.headings,
        anchor=passage.anchor,
        uri=passage.uri,
        metadata=to_metadata(passage.metadata),
        document_type=passage.document_type,
        document_update_time=to_timestamp(passage.document_update_time),
    )


def to_reconcile_response(report: Report) -> reconcile_pb2.ReconcileResponse:
    return reconcile_pb2.ReconcileResponse(
        stage=_RECONCILE_STAGES[report.stage],
        done_count=report.done,
        total_count=report.total,
        drift=[
            reconcile_pb2.DriftCount(kind=message, found_count=report.found[kind], mended_count=report.mended[kind])
            for kind, message in _DRIFT_KINDS.items()
        ],
        unsettled_count=report.unsettled,
    )


def to_rebuild(rebuild: Rebuild) -> rebuild_pb2.Rebuild:
    return rebuild_pb2.Rebuild(
        rebuild_id=rebuild.rebuild_id,
        state=_REBUILD_STATES[rebuild.state],
        walk=rebuild.walk,
        done_count=rebuild.done,
        total_count=rebuild.total,
        embedded_count=rebuild.embedded,
        reused_count=rebuild.reused,
        reason=rebuild.reason,
        message=rebuild.message,
        create_time=to_timestamp(rebuild.create_time),
    )
