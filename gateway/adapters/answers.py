"""Answers and language models, at the generator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_milliseconds
from gateway.domain.ask import AnswerEnd, AnswerEvent, Delta, Question, Quote
from gateway.domain.models import LanguageModel
from gateway.domain.passages import Passage
from lectern.generator.v1 import generation_pb2 as pb
from lectern.generator.v1.generation_pb2_grpc import GenerationServiceStub


class GeneratorAnswers:
    """`gateway.domain.ask.Answers` and `gateway.domain.models.LanguageModels` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float, answer_seconds: float) -> None:
        self._stub = GenerationServiceStub(channel)
        self._timeout = timeout_seconds
        self._answer_seconds = answer_seconds

    async def answer(self, question: Question, passages: Sequence[tuple[Passage, float]]) -> AsyncGenerator[AnswerEvent, None]:
        request = pb.AnswerRequest(
            question=question.query.text,
            passages=[_from_passage(passage, score) for passage, score in passages],
            model=question.model,
            language=question.language,
        )
        call = self._stub.Answer(request, timeout=self._answer_seconds)
        try:
            with calling("generator"):
                async for response in call:
                    if event := _to_event(response):
                        yield event
        finally:
            call.cancel()

    async def language_models(self) -> tuple[Sequence[LanguageModel], str]:
        with calling("generator"):
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=self._timeout)
        return [LanguageModel(model.name, model.engine) for model in response.models], response.default_model


def _from_passage(passage: Passage, score: float) -> pb.SourcePassage:
    return pb.SourcePassage(
        passage_id=passage.passage_id,
        text=passage.text,
        document_name=passage.document_name,
        headings=passage.headings,
        score=score,
    )


def _to_event(response: pb.AnswerResponse) -> AnswerEvent | None:
    match response.WhichOneof("event"):
        case "delta":
            return Delta(response.delta.text)
        case "citation":
            citation = response.citation
            return Quote(citation.marker, citation.passage_id, citation.quote, citation.start, citation.end)
        case "complete":
            complete = response.complete
            return AnswerEnd(
                answered=complete.answered,
                finish_reason=pb.FinishReason.Name(complete.finish_reason).removeprefix("FINISH_REASON_"),
                model=complete.model,
                prompt_tokens=complete.usage.prompt_tokens,
                answer_tokens=complete.usage.answer_tokens,
                first_delta_ms=to_milliseconds(complete.timings.first_delta),
            )
        case _:
            return None  # an event of a later version
