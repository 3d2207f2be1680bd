"""ReconcileService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from ingestor.convert import to_reconcile_response
from ingestor.domain.reconcile import Reconciler
from lectern.ingestor.v1 import reconcile_pb2, reconcile_pb2_grpc
from shared.caller import current_caller

Context = grpc.aio.ServicerContext[Any, Any]


class ReconcileServicer(reconcile_pb2_grpc.ReconcileServiceServicer):
    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def Reconcile(self, request: reconcile_pb2.ReconcileRequest, context: Context) -> AsyncIterator[reconcile_pb2.ReconcileResponse]:
        run = self._reconciler.repair if request.repair else self._reconciler.check
        async with aclosing(run(current_caller().organisation_id)) as reports:
            async for report in reports:
                yield to_reconcile_response(report)
