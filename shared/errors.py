"""Errors that callers may see: a reason, a status and a public text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """The gRPC status names that services answer with; `shared.rpc.status` maps them to the wire, the gateway to HTTP."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    ABORTED = "ABORTED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"
    DATA_LOSS = "DATA_LOSS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong, and how to mend it."""

    field: str
    description: str


@dataclass(slots=True)
class AppError(Exception):
    """An error whose text the caller may read.

    Each service's ``errors.py`` is a catalogue of functions or subclasses that make these; anything else that escapes a handler is logged
    with its traceback and reaches the caller as INTERNAL with a fixed text.

    Attributes:
        reason: stable UPPER_SNAKE code that programmes may switch on.
        status: how the call ended.
        message: what is wrong and how to mend it, for people.
        metadata: further facts by name, without secrets.
        violations: the fields that are wrong, when the request is.
        retry_after_seconds: when to try again, for RESOURCE_EXHAUSTED and UNAVAILABLE.
    """

    reason: str
    status: Status
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def __hash__(self) -> int:
        # Loggers and exception groups keep exceptions in sets.
        return hash((self.reason, self.status, self.message))


def invalid_argument(reason: str, message: str, *, field: str | None = None) -> AppError:
    """A request that can never succeed as it is; ``field`` names the part to change."""
    violations = (FieldViolation(field, message),) if field else ()
    return AppError(reason, Status.INVALID_ARGUMENT, message, violations=violations)


def not_found(resource: str, name: str) -> AppError:
    """No such ``resource``, or none that the caller may know of: both look the same on purpose."""
    reason = f"{resource.upper().replace(' ', '_')}_NOT_FOUND"
    return AppError(reason, Status.NOT_FOUND, f"There is no {resource} {name!r}.", metadata={resource.replace(" ", "_"): name})


def unavailable(what: str, *, retry_after_seconds: float = 1.0) -> AppError:
    """A part that should be there does not answer; the same call may succeed later."""
    return AppError(
        f"{what.upper().replace(' ', '_')}_UNAVAILABLE",
        Status.UNAVAILABLE,
        f"The {what} does not answer. Try again; if it stays so, `lectern status` shows which part is ill.",
        retry_after_seconds=retry_after_seconds,
    )


def too_busy(what: str, *, retry_after_seconds: float) -> AppError:
    """A queue is full; the work was refused and nothing of it was done."""
    return AppError(
        f"{what.upper().replace(' ', '_')}_BUSY",
        Status.RESOURCE_EXHAUSTED,
        f"The {what} has as much work as it can hold. Try again in {retry_after_seconds:g} s.",
        retry_after_seconds=retry_after_seconds,
    )
