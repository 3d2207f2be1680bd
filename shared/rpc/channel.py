"""Channels to other services: signed, bounded in time, retried only where that is safe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc

from shared.caller import Caller, current_caller, set_current_caller
from shared.errors import AppError, Status, unavailable
from shared.request_id import METADATA_KEY, current_request_id
from shared.rpc import caller_signing
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.deadline import budget
from shared.rpc.limits import COMMON_OPTIONS
from shared.rpc.status import from_rpc_error

_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
        ],
    },
)
# A service that restarts is back within seconds; the library's own maximum of two minutes would outlast every caller.
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000))


def open_channel(target: str, signer: CallerSigner) -> grpc.aio.Channel:
    """A channel to ``target`` (``host:port``, or any gRPC name) whose calls carry request id, signed caller and remaining time."""
    options = (*COMMON_OPTIONS, *_RECONNECT, ("grpc.service_config", _SERVICE_CONFIG), ("grpc.enable_retries", 1))
    interceptors = [interceptor(signer) for interceptor in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)


@contextmanager
def acting_for(caller: Caller) -> Iterator[None]:
    """Make outgoing calls in this context on behalf of ``caller``; for background work, which has no incoming call."""
    try:
        before = current_caller()
    except LookupError:
        before = None
    set_current_caller(caller)
    try:
        yield
    finally:
        if before is not None:
            set_current_caller(before)


@contextmanager
def peer_errors(peer: str) -> Iterator[None]:
    """Turn what a call to ``peer`` raises into an AppError.

    Raises:
        AppError: the peer's own, or ``<PEER>_UNAVAILABLE`` / ``<PEER>_TIMEOUT`` when it could not be reached in time.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raised = from_rpc_error(error)
        if raised.reason != raised.status.value:
            raise raised from error
        if raised.status is Status.UNAVAILABLE:
            raise unavailable(peer) from error
        if raised.status is Status.DEADLINE_EXCEEDED:
            message = f"The {peer} did not answer in time. Try again; if it stays so, `lectern status` shows which part is ill."
            raise AppError(f"{peer.upper()}_TIMEOUT", Status.DEADLINE_EXCEEDED, message) from error
        raise raised from error


class _Outgoing:
    def __init__(self, signer: CallerSigner) -> None:
        self._signer = signer

    def _complete(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        # Nobody's call goes unsigned: health probes need no signature, and everything else refuses it.
        with suppress(LookupError):
            metadata.add(caller_signing.METADATA_KEY, self._signer.sign(current_caller()))
        if request_id := current_request_id():
            metadata.add(METADATA_KEY, request_id)
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=budget(details.timeout),
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


# grpc.aio files an interceptor under the first shape that it has, so each shape needs a class of its own.
class _UnaryUnary(_Outgoing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        return await continuation(self._complete(client_call_details), request)


class _UnaryStream(_Outgoing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        return await continuation(self._complete(client_call_details), request)


class _StreamUnary(_Outgoing, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._complete(client_call_details), request_iterator)


class _StreamStream(_Outgoing, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._complete(client_call_details), request_iterator)
