"""Reconciliation, at the ingestor."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from gateway.adapters.peers import calling
from gateway.convert import to_reconcile_report
from gateway.domain.reconcile import ReconcileReport
from lectern.ingestor.v1 import reconcile_pb2 as pb
from lectern.ingestor.v1.reconcile_pb2_grpc import ReconcileServiceStub


class IngestorReconciler:
    """`gateway.domain.reconcile.Reconciler` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        self._stub = ReconcileServiceStub(channel)
        self._timeout = timeout_seconds

    async def run(self, *, repair: bool) -> AsyncGenerator[ReconcileReport, None]:
        call = self._stub.Reconcile(pb.ReconcileRequest(repair=repair), timeout=self._timeout)
        try:
            with calling("ingestor"):
                async for response in call:
                    yield to_reconcile_report(response)
        finally:
            call.cancel()
