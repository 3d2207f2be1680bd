"""AppError to google.rpc.Status and back."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from shared.errors import AppError, FieldViolation, Status

DOMAIN = "lectern"
# Trailing metadata is refused by peers above 8 KB; details beyond this are left out, the reason never.
MAX_DETAIL_BYTES = 4096
INTERNAL_MESSAGE = "Something went wrong on our side. The log has the details under this request's id."
_CODES = {code.name: code for code in grpc.StatusCode}


def to_rpc_status(error: AppError) -> grpc.Status:
    """The wire form of ``error``: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=_CODES[error.status].value[0], message=error.message[:1024])
    details: list[error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata),
    ]
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        details.append(retry)
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    _attach(status, details)
    converted: grpc.Status = rpc_status.to_status(status)
    return converted


def _attach(
    status: status_pb2.Status,
    details: list[error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest],
) -> None:
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() <= MAX_DETAIL_BYTES:
            status.details.append(packed)
        elif isinstance(detail, error_details_pb2.ErrorInfo):
            packed.Pack(error_details_pb2.ErrorInfo(reason=detail.reason, domain=DOMAIN))
            status.details.append(packed)


def from_rpc_error(error: grpc.aio.AioRpcError) -> AppError:
    """The AppError that a peer raised, or the nearest to what the transport says."""
    status = Status(error.code().name) if error.code().name in Status.__members__ else Status.UNKNOWN
    reason, message = status.value, error.details() or status.value
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_after: float | None = None
    for packed in _details(error):
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        if packed.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif packed.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
        elif packed.Unpack(bad):
            violations += [FieldViolation(violation.field, violation.description) for violation in bad.field_violations]
    return AppError(reason, status, message, metadata, tuple(violations), retry_after)


def _details(error: grpc.aio.AioRpcError) -> list[any_pb2.Any]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return list(status_pb2.Status.FromString(value).details)
    return []
