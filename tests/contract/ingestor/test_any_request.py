"""Whatever is sent to whichever RPC, the reply is an answer or a refusal with a reason, and the service goes on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lectern.ingestor.v1 import collections_pb2, documents_pb2, jobs_pb2, passages_pb2
from shared.errors import Status
from shared.rpc.status import from_rpc_error
from tests.integration.ingestor.library import Library

pytestmark = pytest.mark.asyncio(loop_scope="session")
SERVICES = [
    collections_pb2.DESCRIPTOR.services_by_name["CollectionService"],
    documents_pb2.DESCRIPTOR.services_by_name["DocumentService"],
    jobs_pb2.DESCRIPTOR.services_by_name["JobService"],
    passages_pb2.DESCRIPTOR.services_by_name["PassageService"],
]
METHODS = [method for service in SERVICES for method in service.methods]
REQUESTS_PER_METHOD = 40
TEXTS = [
    "",
    "library",
    "a",
    "nul\0",
    "\u202e\ufeff",
    "%",
    "'; DROP TABLE library.document; --",
    "x" * 3000,
    "0" * 32,
    "../..",
    "\U0001f980",
]
NUMBERS: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 50, 2**31, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**63, 2**64 - 1],
    FieldDescriptor.CPPTYPE_INT32: [0, -1, 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [0, -1, 2**63 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0, -1.5, 1e308, float("inf"), float("nan")],
    FieldDescriptor.CPPTYPE_ENUM: [0, 1, 99, -1],
    FieldDescriptor.CPPTYPE_BOOL: [True, False],
}


def random_message(message: Message, draw: random.Random, depth: int = 0) -> Message:
    """``message`` with some of its fields set to something extreme."""
    for field in message.DESCRIPTOR.fields:
        if draw.random() < 0.3 or depth > 5:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type:
                random_message(getattr(message, field.name)[draw.choice(TEXTS)], draw, depth + 1)
        elif field.is_repeated:
            for _ in range(draw.choice([1, 3])):
                if field.message_type:
                    random_message(getattr(message, field.name).add(), draw, depth + 1)
                else:
                    getattr(message, field.name).append(scalar(field, draw))
        elif field.message_type:
            random_message(getattr(message, field.name), draw, depth + 1)
        else:
            setattr(message, field.name, scalar(field, draw))
    return message


def scalar(field: Any, draw: random.Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = draw.choice(TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    return draw.choice(NUMBERS[field.cpp_type])


async def call(library: Library, method: MethodDescriptor, messages: list[Message]) -> None:
    """Make the call and read its answer to the end."""

    async def stream() -> AsyncIterator[Message]:
        for message in messages:
            yield message

    path = f"/{method.containing_service.full_name}/{method.name}"
    codec = {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    if method.server_streaming:
        async for _ in library.channel.unary_stream(path, **codec)(messages[0], timeout=20):
            pass
    elif method.client_streaming:
        await library.channel.stream_unary(path, **codec)(stream(), timeout=20)
    else:
        await library.channel.unary_unary(path, **codec)(messages[0], timeout=20)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_no_request_ends_in_an_internal_error(library: Library, method: MethodDescriptor) -> None:
    await library.create_collection()
    request_class = GetMessageClass(method.input_type)
    for seed in range(REQUESTS_PER_METHOD):
        draw = random.Random(seed)
        messages = [random_message(request_class(), draw) for _ in range(draw.choice([1, 2, 4]))]
        with library.calling_raw():
            try:
                await call(library, method, messages)
            except grpc.aio.AioRpcError as rpc_error:
                error = from_rpc_error(rpc_error)
                assert error.status in {Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.ALREADY_EXISTS, Status.FAILED_PRECONDITION}, (
                    seed,
                    error,
                )
                assert error.reason.isupper()
                assert error.message
