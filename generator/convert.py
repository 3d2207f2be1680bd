"""Between messages and domain types."""

from __future__ import annotations

from typing import assert_never

from generator.domain.answering import AnswerRequest, Completed
from generator.domain.engine import AnswerLimits, Citation, FinishReason, SourcePassage, TextDelta
from lectern.generator.v1 import generation_pb2

_FINISH_REASONS = {
    FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
}


def request_from_message(message: generation_pb2.AnswerRequest) -> AnswerRequest:
    return AnswerRequest(
        question=message.question,
        passages=[passage_from_message(passage) for passage in message.passages],
        model=message.model,
        language=message.language,
        limits=AnswerLimits(max_tokens=message.max_answer_tokens or None),
    )


def passage_from_message(message: generation_pb2.SourcePassage) -> SourcePassage:
    return SourcePassage(message.passage_id, message.text, message.document_name, tuple(message.headings), message.score)


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
    timings = generation_pb2.GenerationTimings()
    timings.first_delta.FromNanoseconds(int(completed.first_delta_seconds * 1e9))
    timings.total.FromNanoseconds(int(completed.total_seconds * 1e9))
    return generation_pb2.AnswerComplete(
        answered=finished.answered,
        finish_reason=_FINISH_REASONS[finished.reason],
        model=completed.model,
        usage=generation_pb2.TokenUsage(prompt_tokens=finished.prompt_tokens, answer_tokens=finished.answer_tokens),
        timings=timings,
        dropped_marker_count=finished.dropped_markers,
    )
