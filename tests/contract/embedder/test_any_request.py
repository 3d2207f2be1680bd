"""Whatever is sent to whichever method, the reply is an answer or a refusal with a reason, and the service goes on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lectern.embedder.v1 import embedding_pb2, index_pb2, reranking_pb2
from shared.errors import Status
from shared.rpc.status import from_rpc_error

METHODS = [
    *embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].methods,
    *index_pb2.DESCRIPTOR.services_by_name["IndexService"].methods,
    *reranking_pb2.DESCRIPTOR.services_by_name["RerankingService"].methods,
]
REFUSALS = {Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.FAILED_PRECONDITION, Status.RESOURCE_EXHAUSTED}
TEXTS = [
    "",
    "a",
    "pump",
    "nul\0",
    "\u202e\ufeff",
    "%",
    '" or organisation_id != "',
    "\\",
    "x" * 3000,
    "../..",
    "\U0001f980",
    "metadata.",
    "\n",
]
NUMBERS: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 50, 2**31, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**63, 2**64 - 1],
    FieldDescriptor.CPPTYPE_INT32: [0, -1, 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [0, 1, -1, -(2**63), 2**63 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0, -1.5, 1e308, float("inf"), float("nan")],
    FieldDescriptor.CPPTYPE_ENUM: [0, 1, 2, 99, -1],
    FieldDescriptor.CPPTYPE_BOOL: [True, False],
}


def fill(message: Message, draw: random.Random, depth: int = 0) -> Message:
    """Set some of the message's fields to something extreme."""
    for field in message.DESCRIPTOR.fields:
        if depth > 4 or draw.random() < 0.3:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            fill(getattr(message, field.name)[draw.choice(TEXTS)], draw, depth + 1)
        elif field.is_repeated:
            for _ in range(draw.choice([1, 3])):
                values = getattr(message, field.name)
                fill(values.add(), draw, depth + 1) if field.message_type else values.append(scalar(field, draw))
        elif field.message_type:
            fill(getattr(message, field.name), draw, depth + 1)
        else:
            setattr(message, field.name, scalar(field, draw))
    return message


def scalar(field: Any, draw: random.Random) -> Any:
    return draw.choice(TEXTS if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else NUMBERS[field.cpp_type])


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, message: Message) -> None:
    """Make the call and read its answer to the end.

    A stream carries one message: when a server ends a call whose client is still sending, grpc.aio may tell the client of its failed send
    instead of the status.
    """

    async def stream() -> AsyncIterator[Message]:
        yield message

    path = f"/{method.containing_service.full_name}/{method.name}"
    reply = GetMessageClass(method.output_type).FromString
    if method.server_streaming:
        make: Any = channel.stream_stream(path, lambda message: message.SerializeToString(), reply)
        async for _ in make(stream(), timeout=60):
            pass
    else:
        make = channel.unary_unary(path, lambda message: message.SerializeToString(), reply)
        await make(message, timeout=60)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_no_request_ends_in_an_internal_error(channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
    for seed in range(40):
        message = fill(GetMessageClass(method.input_type)(), random.Random(seed))
        try:
            await call(channel, method, message)
        except grpc.aio.AioRpcError as refused:
            error = from_rpc_error(refused)
            assert error.status in REFUSALS, (seed, error)
            assert error.reason.isupper()
