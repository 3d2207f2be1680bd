"""What events of a stream mean, whoever reads them."""

from __future__ import annotations

from lectern_client.calls import TEMPORARY, Model, event_json, problem_error
from lectern_client.errors import ApiError, LecternError, ProtocolError, TimedOutError, UnreachableError
from lectern_client.models import AskCitation, AskComplete, AskDelta, AskEvent, AskMetadata, Job
from lectern_client.sse import Event

_ASK_EVENTS: dict[str, type[AskMetadata | AskDelta | AskCitation | AskComplete]] = {
    "metadata": AskMetadata,
    "delta": AskDelta,
    "citation": AskCitation,
    "complete": AskComplete,
}

# A service that restarts is back within seconds; a watch outlasts that.
WATCH_RECONNECT_SECONDS = 1.0
WATCH_PATIENCE_SECONDS = 120.0


def may_heal(error: LecternError) -> bool:
    """Whether what broke a stream may be gone when it is opened again."""
    if isinstance(error, ApiError):
        return error.status in TEMPORARY
    return isinstance(error, UnreachableError | TimedOutError)


def ask_event(event: Event) -> AskEvent | None:
    """The event of an answer; None for one that only newer clients know.

    Raises:
        ApiError: the answer failed; nothing follows.
        ProtocolError: the event is not as it should be.
    """
    data = event_json(event.data)
    _raise_error(event, data)
    kind = _ASK_EVENTS.get(event.name)
    try:
        return None if kind is None else kind.model_validate(data)
    except ValueError as error:
        raise ProtocolError(f"The event {event.name} is not as expected: {error}") from error


def job_event(event: Event) -> Job:
    """The job that an event of its stream carries. Raises what `model_event` raises."""
    return model_event(event, Job)


def model_event(event: Event, kind: type[Model]) -> Model:
    """What an event of a stream that carries nothing else carries.

    Raises:
        ApiError: the stream failed; nothing follows.
        ProtocolError: the event is not as it should be.
    """
    data = event_json(event.data)
    _raise_error(event, data)
    try:
        return kind.model_validate(data)
    except ValueError as error:
        raise ProtocolError(f"The event {event.name} is not as expected: {error}") from error


def _raise_error(event: Event, data: dict[str, object]) -> None:
    if event.name == "error":
        raise problem_error(data, 200)
