"""Between messages and domain types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from generator import errors
from generator.domain.answering import AnswerRequest, Completed
from generator.domain.completing import CompletionFinished, CompletionRequest
from generator.domain.condensing import CondenseRequest
from generator.domain.engine import AnswerLimits, Citation, SourcePassage, TextDelta
from generator.domain.language_model import FinishReason, Message, Role
from generator.domain.models import Endpoint, Model, TokenLimits
from generator.domain.one_line import Line
from generator.domain.titles import TitleRequest
from lectern.generator.v1 import generation_pb2

_FINISH_REASONS = {
    FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
}
_ROLES = {
    generation_pb2.TURN_ROLE_SYSTEM: Role.SYSTEM,
    generation_pb2.TURN_ROLE_USER: Role.USER,
    generation_pb2.TURN_ROLE_ASSISTANT: Role.ASSISTANT,
}


def request_from_message(message: generation_pb2.AnswerRequest) -> AnswerRequest:
    return AnswerRequest(
        question=message.question,
        passages=[passage_from_message(passage) for passage in message.passages],
        model=message.model,
        language=message.language,
        limits=AnswerLimits(max_tokens=message.max_answer_tokens or None),
        instructions=message.instructions,
        history=turns_from_messages(message.history, "history"),
        endpoint=endpoint_from_message(message.endpoint) if message.HasField("endpoint") else None,
    )


def passage_from_message(message: generation_pb2.SourcePassage) -> SourcePassage:
    return SourcePassage(message.passage_id, message.text, message.document_name, tuple(message.headings), message.score)


def turns_from_messages(turns: Iterable[generation_pb2.Turn], field: str) -> list[Message]:
    """The turns of the request's ``field``.

    Raises:
        AppError: TURN_ROLE_MISSING.
    """
    return [_turn_from_message(turn, f"{field}[{index}]") for index, turn in enumerate(turns)]


def _turn_from_message(turn: generation_pb2.Turn, field: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        raise errors.turn_role_missing(field)
    return Message(role, turn.text)


def endpoint_from_message(message: generation_pb2.Endpoint) -> Endpoint:
    return Endpoint(message.base_url, message.model, message.api_key, TokenLimits(message.context_tokens, message.answer_tokens))


def condense_from_message(message: generation_pb2.CondenseRequest) -> CondenseRequest:
    return CondenseRequest(
        question=message.question,
        history=turns_from_messages(message.history, "history"),
        model=message.model,
        endpoint=endpoint_from_message(message.endpoint) if message.HasField("endpoint") else None,
    )


def condensed_to_message(line: Line) -> generation_pb2.CondenseResponse:
    return generation_pb2.CondenseResponse(question=line.text, usage=_usage(line))


def title_from_message(message: generation_pb2.SuggestTitleRequest) -> TitleRequest:
    return TitleRequest(
        question=message.question,
        answer=message.answer,
        model=message.model,
        endpoint=endpoint_from_message(message.endpoint) if message.HasField("endpoint") else None,
    )


def title_to_message(line: Line) -> generation_pb2.SuggestTitleResponse:
    return generation_pb2.SuggestTitleResponse(title=line.text, usage=_usage(line))


def _usage(line: Line) -> generation_pb2.TokenUsage:
    return generation_pb2.TokenUsage(prompt_tokens=line.prompt_tokens, answer_tokens=line.answer_tokens)


def completion_from_message(message: generation_pb2.CompleteRequest) -> CompletionRequest:
    return CompletionRequest(
        messages=turns_from_messages(message.messages, "messages"),
        model=message.model,
        max_tokens=message.max_tokens,
        json_schema=message.json_schema,
        endpoint=endpoint_from_message(message.endpoint) if message.HasField("endpoint") else None,
    )


def completion_to_message(event: TextDelta | CompletionFinished) -> generation_pb2.CompleteResponse:
    if isinstance(event, TextDelta):
        return generation_pb2.CompleteResponse(delta=generation_pb2.AnswerDelta(text=event.text))
    end = generation_pb2.CompletionEnd(
        finish_reason=_FINISH_REASONS[event.reason],
        model=event.model,
        usage=generation_pb2.TokenUsage(prompt_tokens=event.prompt_tokens, answer_tokens=event.answer_tokens),
        timings=_timings(event.first_delta_seconds, event.total_seconds),
    )
    return generation_pb2.CompleteResponse(complete=end)


def model_to_message(model: Model) -> generation_pb2.Model:
    return generation_pb2.Model(
        name=model.name, engine=model.engine.kind, context_tokens=model.limits.context, completes=model.writer is not None
    )


def event_to_message(event: TextDelta | Citation | Completed) -> generation_pb2.AnswerResponse:
    match event:
        case TextDelta():
            return generation_pb2.AnswerResponse(delta=generation_pb2.AnswerDelta(text=event.text))
        case Citation():
            citation = generation_pb2.Citation(
                marker=event.marker, passage_id=event.passage_id, quote=event.quote, start=event.start, end=event.end
            )
            return generation_pb2.AnswerResponse(citation=citation)
        case Completed():
            return generation_pb2.AnswerResponse(complete=_completed_to_message(event))
        case _:
            assert_never(event)


def _completed_to_message(completed: Completed) -> generation_pb2.AnswerComplete:
    finished = completed.finished
    return generation_pb2.AnswerComplete(
        answered=finished.answered,
        finish_reason=_FINISH_REASONS[finished.reason],
        model=completed.model,
        usage=generation_pb2.TokenUsage(prompt_tokens=finished.prompt_tokens, answer_tokens=finished.answer_tokens),
        timings=_timings(completed.first_delta_seconds, completed.total_seconds),
        dropped_marker_count=finished.dropped_markers,
        removed_link_count=finished.removed_links,
    )


def _timings(first_delta_seconds: float, total_seconds: float) -> generation_pb2.GenerationTimings:
    timings = generation_pb2.GenerationTimings()
    timings.first_delta.FromNanoseconds(int(first_delta_seconds * 1e9))
    timings.total.FromNanoseconds(int(total_seconds * 1e9))
    return timings
