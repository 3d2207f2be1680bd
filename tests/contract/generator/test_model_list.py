"""Several models beside each other, each under its own name and with its own bounds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lectern.generator.v1 import generation_pb2, generation_pb2_grpc
from tests.contract.generator.endpoint import running_endpoint

if TYPE_CHECKING:
    StartGenerator = Callable[..., Awaitable[generation_pb2_grpc.GenerationServiceAsyncStub]]

TURNS = [generation_pb2.Turn(role=generation_pb2.TURN_ROLE_USER, text="Name a colour.")]


async def test_each_request_reaches_the_model_that_it_names(start_generator: StartGenerator) -> None:
    async with running_endpoint() as large, running_endpoint() as small:
        models = [
            {
                "name": "large",
                "engine": "openai",
                "base_url": large.base_url,
                "model": "qwen-large",
                "api_key": "sk-1",
                "context_tokens": 9000,
            },
            {"name": "small", "engine": "openai", "base_url": small.base_url, "model": "qwen-small", "answer_tokens": 32},
            {"name": "quotes", "engine": "extractive"},
        ]
        stub = await start_generator(MODELS=json.dumps(models))
        listed = await stub.ListModels(generation_pb2.ListModelsRequest(), timeout=20)
        assert listed.default_model == "large"
        assert {(model.name, model.engine, model.context_tokens, model.completes) for model in listed.models} == {
            ("extractive", "extractive", 0, False),
            ("large", "openai", 9000, True),
            ("small", "openai", 6000, True),
            ("quotes", "extractive", 0, False),
        }
        for endpoint, name in ((large, ""), (small, "small")):
            endpoint.says("Blue.")
            request = generation_pb2.CompleteRequest(messages=TURNS, model=name)
            events = [event async for event in stub.Complete(request, timeout=20)]
            assert events[-1].complete.model == (name or "large")
        assert (large.requests[0]["model"], large.requests[0]["max_tokens"], large.authorizations) == ("qwen-large", 1024, ["Bearer sk-1"])
        assert (small.requests[0]["model"], small.requests[0]["max_tokens"], small.authorizations) == ("qwen-small", 32, ["Bearer none"])
