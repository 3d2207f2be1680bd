"""Messages of the back services to domain types and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.domain.collections import Collection, CollectionSettings
from gateway.domain.documents import DeletionReceipt, Document, DocumentState, Page
from gateway.domain.jobs import Job, JobDocument, JobDocumentState, JobFailure, JobKind, JobState, JobStep
from gateway.domain.passages import Passage
from gateway.domain.reconcile import DriftCount, ReconcileReport, ReconcileStage
from gateway.domain.reindex import Rebuild, RebuildState
from gateway.domain.search import Candidate, Candidates
from gateway.domain.strict_json import JsonValue
from gateway.explanation_messages import to_hit_explanation, to_search_explanation
from lectern.embedder.v1 import index_pb2
from lectern.ingestor.v1 import collections_pb2, documents_pb2, jobs_pb2, passages_pb2, rebuild_pb2, reconcile_pb2


def to_time(message: Timestamp, *, present: bool) -> datetime | None:
    return message.ToDatetime(tzinfo=UTC) if present else None


def to_milliseconds(duration: Duration) -> float:
    return duration.seconds * 1000 + duration.nanos / 1e6


def to_json(struct: Struct) -> dict[str, JsonValue]:
    """The object that ``struct`` holds; whole numbers come back as integers, which a Struct does not tell apart."""
    return {name: _to_json(value) for name, value in struct.fields.items()}


def _to_json(value: Value) -> JsonValue:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if math.isfinite(number) and number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return to_json(value.struct_value)
        case "list_value":
            return [_to_json(item) for item in value.list_value.values]
        case _:
            return None


def from_json(metadata: Mapping[str, JsonValue]) -> Struct:
    return Struct(fields={name: from_value(value) for name, value in metadata.items()})


def from_value(value: JsonValue) -> Value:
    if value is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, int | float):
        return Value(number_value=value)
    if isinstance(value, dict):
        return Value(struct_value=from_json(value))
    return Value(list_value=ListValue(values=[from_value(item) for item in value]))


def to_collection(message: collections_pb2.Collection) -> Collection:
    return Collection(
        collection_id=message.collection_id,
        name=message.name,
        description=message.description,
        metadata=to_json(message.metadata),
        settings=CollectionSettings(message.settings.passage_tokens),
        document_count=message.document_count,
        passage_count=message.passage_count,
        create_time=to_time(message.create_time, present=message.HasField("create_time")),
        update_time=to_time(message.update_time, present=message.HasField("update_time")),
    )


def to_document(message: documents_pb2.Document) -> Document:
    return Document(
        document_id=message.document_id,
        collection_id=message.collection_id,
        external_id=message.external_id,
        name=message.name,
        title=message.title,
        author=message.author,
        language=message.language,
        type=message.type,
        uri=message.uri,
        metadata=to_json(message.metadata),
        state=DocumentState(_label(documents_pb2.DocumentState.Name(message.state), "DOCUMENT_STATE_")),
        reason=message.reason,
        message=message.message,
        size_bytes=message.size_bytes,
        content_sha256=message.content_sha256,
        page_count=message.page_count,
        passage_count=message.passage_count,
        create_time=to_time(message.create_time, present=message.HasField("create_time")),
        update_time=to_time(message.update_time, present=message.HasField("update_time")),
        indexed_time=to_time(message.indexed_time, present=message.HasField("indexed_time")),
        pages=[Page(page.number, page.text) for page in message.pages],
    )


def from_document_state(state: DocumentState | None) -> documents_pb2.DocumentState.ValueType:
    name = f"DOCUMENT_STATE_{state.value}" if state else "DOCUMENT_STATE_UNSPECIFIED"
    return documents_pb2.DocumentState.Value(name)


def to_receipt(message: documents_pb2.DeletionReceipt) -> DeletionReceipt:
    return DeletionReceipt(
        document_id=message.document_id,
        job_id=message.job_id,
        deleted_time=to_time(message.deleted_time, present=message.HasField("deleted_time")),
        purge_verified_time=to_time(message.purge_verified_time, present=message.HasField("purge_verified_time")),
        passage_count=message.passage_count,
        vector_count=message.vector_count,
        file_count=message.file_count,
    )


def to_job(message: jobs_pb2.Job) -> Job:
    return Job(
        job_id=message.job_id,
        collection_id=message.collection_id,
        kind=JobKind(_label(jobs_pb2.JobKind.Name(message.kind), "JOB_KIND_")),
        state=JobState(_label(jobs_pb2.JobState.Name(message.state), "JOB_STATE_")),
        stage=_label(jobs_pb2.TaskStage.Name(message.stage), "TASK_STAGE_"),
        steps=[_to_step(step) for step in message.steps],
        total=message.total_count,
        done=message.done_count,
        failed=message.failed_count,
        cancelled=message.cancelled_count,
        embedded=message.embedded_count,
        reused=message.reused_count,
        passages=message.passage_count,
        eta_seconds=to_milliseconds(message.eta) / 1000 if message.HasField("eta") else None,
        failures=[_to_failure(failure) for failure in message.failures],
        create_time=to_time(message.create_time, present=message.HasField("create_time")),
        end_time=to_time(message.end_time, present=message.HasField("end_time")),
    )


def _to_step(message: jobs_pb2.JobStep) -> JobStep:
    return JobStep(
        step=_label(jobs_pb2.Step.Name(message.step), "STEP_"),
        waiting=message.waiting_count,
        running=message.running_count,
        done=message.done_count,
        failed=message.failed_count,
        work_seconds=to_milliseconds(message.work) / 1000,
        begin_time=to_time(message.begin_time, present=message.HasField("begin_time")),
        end_time=to_time(message.end_time, present=message.HasField("end_time")),
    )


def to_job_document(message: jobs_pb2.JobDocument) -> JobDocument:
    return JobDocument(
        document_id=message.document_id,
        document_name=message.document_name,
        external_id=message.external_id,
        state=JobDocumentState(_label(jobs_pb2.TaskState.Name(message.state), "TASK_STATE_")),
        stage=_label(jobs_pb2.TaskStage.Name(message.stage), "TASK_STAGE_"),
        reason=message.reason,
        message=message.message,
        embedded=message.embedded_count,
        reused=message.reused_count,
        start_time=to_time(message.start_time, present=message.HasField("start_time")),
        end_time=to_time(message.end_time, present=message.HasField("end_time")),
    )


def from_job_state(state: JobState | None) -> jobs_pb2.JobState.ValueType:
    return jobs_pb2.JobState.Value(f"JOB_STATE_{state or 'UNSPECIFIED'}")


def from_job_kind(kind: JobKind | None) -> jobs_pb2.JobKind.ValueType:
    return jobs_pb2.JobKind.Value(f"JOB_KIND_{kind or 'UNSPECIFIED'}")


def from_job_document_state(state: JobDocumentState | None) -> jobs_pb2.TaskState.ValueType:
    return jobs_pb2.TaskState.Value(f"TASK_STATE_{state or 'UNSPECIFIED'}")


def _to_failure(message: jobs_pb2.TaskFailure) -> JobFailure:
    return JobFailure(message.document_id, message.document_name, message.external_id, message.reason, message.message)


def _label(name: str, prefix: str) -> str:
    label = name.removeprefix(prefix)
    return "" if label == "UNSPECIFIED" else label


def to_reconcile_report(message: reconcile_pb2.ReconcileResponse) -> ReconcileReport:
    stage = ReconcileStage(_label(reconcile_pb2.ReconcileStage.Name(message.stage), "RECONCILE_STAGE_"))
    return ReconcileReport(
        stage, message.done_count, message.total_count, [_to_drift(each) for each in message.drift], message.unsettled_count
    )


def _to_drift(message: reconcile_pb2.DriftCount) -> DriftCount:
    kind = _label(reconcile_pb2.DriftKind.Name(message.kind), "DRIFT_KIND_")
    return DriftCount(kind, message.found_count, message.mended_count)


def to_rebuild(message: rebuild_pb2.Rebuild) -> Rebuild:
    return Rebuild(
        rebuild_id=message.rebuild_id,
        state=RebuildState(_label(rebuild_pb2.RebuildState.Name(message.state), "REBUILD_STATE_")),
        walk=message.walk,
        done=message.done_count,
        total=message.total_count,
        embedded=message.embedded_count,
        reused=message.reused_count,
        reason=message.reason,
        message=message.message,
        create_time=message.create_time.ToDatetime(tzinfo=UTC),
    )


def to_passage(message: passages_pb2.Passage) -> Passage:
    return Passage(
        passage_id=message.passage_id,
        document_id=message.document_id,
        document_name=message.document_name,
        document_type=message.document_type,
        external_id=message.external_id,
        collection_id=message.collection_id,
        collection_name=message.collection_name,
        ordinal=message.ordinal,
        text=message.text,
        page=message.page or None,
        start=message.start,
        end=message.end,
        headings=list(message.headings),
        anchor=message.anchor,
        uri=message.uri,
        metadata=to_json(message.metadata),
    )


def to_candidates(message: index_pb2.SearchResponse) -> Candidates:
    timings, explained = message.timings, message.HasField("explanation")
    return Candidates(
        found=[_to_candidate(hit) for hit in message.hits],
        timings_ms={
            "embed": to_milliseconds(timings.embed),
            "analyse": to_milliseconds(timings.analyse),
            "retrieve": to_milliseconds(timings.retrieve),
            "fuse": to_milliseconds(timings.fuse),
            "index": to_milliseconds(timings.total),
            **({"explain": to_milliseconds(timings.explain)} if explained else {}),
        },
        has_more=message.has_more,
        explanation=to_search_explanation(message.explanation) if explained else None,
    )


def _to_candidate(hit: index_pb2.SearchHit) -> Candidate:
    return Candidate(
        passage_id=hit.passage_id,
        score=hit.score,
        dense=hit.dense_score if hit.HasField("dense_score") else None,
        lexical=hit.lexical_score if hit.HasField("lexical_score") else None,
        explanation=to_hit_explanation(hit.explanation) if hit.HasField("explanation") else None,
    )
