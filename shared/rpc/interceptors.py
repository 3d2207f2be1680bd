"""What happens around every RPC handler: request id, then logging and metrics, then errors, then the caller's signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import grpc
import structlog
from prometheus_client import Counter, Histogram

from shared import request_id
from shared.caller import Caller, set_current_caller
from shared.errors import AppError, Status
from shared.rpc.deadline import set_time_remaining
from shared.rpc.request_stream import RequestStream
from shared.rpc.status import INTERNAL_MESSAGE, to_rpc_status

log = structlog.get_logger()
# Probes and reflection carry no caller and would drown the log.
_PLUMBING = ("/grpc.health.", "/grpc.reflection.")

RPC_SECONDS = Histogram(
    "lectern_rpc_seconds",
    "Time from an RPC's arrival to its end",
    ["service", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RPC_ENDED = Counter("lectern_rpc_ended_total", "RPCs that ended", ["service", "method", "code"])

_SHAPES = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}

ServicerContext = grpc.aio.ServicerContext[Any, Any]


class CallerSource(Protocol):
    """Knows who calls; between services the `CallerSigner`."""

    def identify(self, metadata: Mapping[str, Any]) -> Caller:
        """The caller that a call's metadata proves.

        Raises:
            AppError: UNAUTHENTICATED, with the reason.
        """
        ...


class RpcInterceptor(grpc.aio.ServerInterceptor):
    """The one place where errors become statuses and callers become trusted."""

    def __init__(self, service: str, signer: CallerSource) -> None:
        self._service = service
        self._signer = signer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler, whichever of the four shapes it has."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_PLUMBING):
            return None if handler is None else cast("grpc.RpcMethodHandler[Any, Any]", handler)
        metadata = dict(handler_call_details.invocation_metadata)
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        wrap = self._streaming if handler.response_streaming else self._unary
        shape = _SHAPES[handler.request_streaming, handler.response_streaming]
        make: Callable[..., grpc.RpcMethodHandler[Any, Any]] = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrap(getattr(handler, shape), method, metadata), **serializers)

    def _unary(self, inner: Any, method: str, metadata: dict[str, Any]) -> Any:
        async def behaviour(request: Any, context: ServicerContext) -> Any:
            async with self._around(method, metadata, context, request) as request_or_stream:
                return await inner(request_or_stream, context)

        return behaviour

    def _streaming(self, inner: Any, method: str, metadata: dict[str, Any]) -> Any:
        async def behaviour(request: Any, context: ServicerContext) -> AsyncIterator[Any]:
            async with self._around(method, metadata, context, request) as request_or_stream:
                async for response in inner(request_or_stream, context):
                    yield response

        return behaviour

    @asynccontextmanager
    async def _around(self, method: str, metadata: dict[str, Any], context: ServicerContext, request: Any) -> AsyncIterator[Any]:
        stream = RequestStream(request) if isinstance(request, AsyncIterator) else None
        request_id.bind_request_id(metadata.get(request_id.METADATA_KEY))
        set_time_remaining(context.time_remaining())
        started = time.perf_counter()
        code = "OK"
        try:
            set_current_caller(self._signer.identify(metadata))
            yield stream or request
        except AppError as error:
            code = error.status.value
            if stream:
                await stream.discard()
            await context.abort_with_status(to_rpc_status(error))
        except asyncio.CancelledError:
            code = Status.CANCELLED.value
            raise
        except grpc.aio.AbortError:
            code = Status.UNKNOWN.value
            raise
        except Exception:
            code = Status.INTERNAL.value
            log.exception("rpc_failed", method=method)
            await context.abort_with_status(to_rpc_status(AppError("INTERNAL", Status.INTERNAL, INTERNAL_MESSAGE)))
        finally:
            if stream:
                stream.close()
            self._record(method, code, time.perf_counter() - started)

    def _record(self, method: str, code: str, seconds: float) -> None:
        RPC_SECONDS.labels(self._service, method).observe(seconds)
        RPC_ENDED.labels(self._service, method, code).inc()
        level = log.debug if code in {"OK", "CANCELLED"} else log.info
        level("rpc_ended", method=method, code=code, milliseconds=round(seconds * 1000, 1))
