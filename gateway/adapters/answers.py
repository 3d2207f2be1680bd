"""Answers and language models, at the generator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_milliseconds
from gateway.domain.ask import AnswerEnd, AnswerEvent, Delta, Endpoint, Question, Quote, Role, Turn
from gateway.domain.models import LanguageModel
from gateway.domain.passages import Passage
from lectern.generator.v1 import generation_pb2 as pb
from lectern.generator.v1.generation_pb2_grpc import GenerationServiceStub


class GeneratorAnswers:
    """`gateway.domain.ask.Answers`, `gateway.domain.chats.titles.TitleSuggestions` and `gateway.domain.models.LanguageModels` over gRPC."""

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
            max_answer_tokens=question.max_answer_tokens,
            instructions=question.instructions,
            history=_from_history(question.history),
            endpoint=_from_endpoint(question.endpoint),
        )
        call = self._stub.Answer(request, timeout=self._answer_seconds)
        try:
            with calling("generator"):
                async for response in call:
                    if event := _to_event(response):
                        yield event
        finally:
            call.cancel()

    async def condense(self, question: Question) -> str:
        request = pb.CondenseRequest(
            question=question.query.text,
            history=_from_history(question.history),
            model=question.model,
            endpoint=_from_endpoint(question.endpoint),
        )
        with calling("generator"):
            response = await self._stub.Condense(request, timeout=self._answer_seconds)
        return response.question

    async def suggest_title(self, question: Question, answer: str) -> str:
        request = pb.SuggestTitleRequest(
            question=question.query.text, answer=answer, model=question.model, endpoint=_from_endpoint(question.endpoint)
        )
        with calling("generator"):
            response = await self._stub.SuggestTitle(request, timeout=self._timeout)
        return response.title

    async def language_models(self) -> tuple[Sequence[LanguageModel], str]:
        with calling("generator"):
            response = await self._stub.ListModels(pb.ListModelsRequest(), timeout=self._timeout)
        return [LanguageModel(model.name, model.engine) for model in response.models], response.default_model


_ROLES = {Role.USER: pb.TURN_ROLE_USER, Role.ASSISTANT: pb.TURN_ROLE_ASSISTANT}


def _from_history(history: Sequence[Turn]) -> list[pb.Turn]:
    return [pb.Turn(role=_ROLES[turn.role], text=turn.text) for turn in history]


def _from_endpoint(endpoint: Endpoint | None) -> pb.Endpoint | None:
    if endpoint is None:
        return None
    return pb.Endpoint(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        model=endpoint.model,
        context_tokens=endpoint.context_tokens,
        answer_tokens=endpoint.answer_tokens,
    )


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
