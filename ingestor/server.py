"""Builds the ingestor from its settings and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from ingestor.adapters.embedder import Embedder
from ingestor.adapters.fetching.fetcher import HttpFetcher
from ingestor.adapters.index_builder import EmbedderIndexBuilder
from ingestor.adapters.object_store import ObjectContent, open_store
from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.adapters.postgres.collections import PostgresCollections
from ingestor.adapters.postgres.database import Database, open_database
from ingestor.adapters.postgres.documents import PostgresDocuments
from ingestor.adapters.postgres.fetch_store import PostgresFetchStore
from ingestor.adapters.postgres.health import DatabaseHealth
from ingestor.adapters.postgres.index_store import PostgresIndexStore
from ingestor.adapters.postgres.intake import PostgresIntake
from ingestor.adapters.postgres.jobs import PostgresJobs
from ingestor.adapters.postgres.notifications import Notifications
from ingestor.adapters.postgres.parse_store import PostgresParseStore
from ingestor.adapters.postgres.passages import PostgresPassages
from ingestor.adapters.postgres.purges import PostgresPurges
from ingestor.adapters.postgres.queue import PostgresQueue
from ingestor.adapters.postgres.rebuilds import PostgresRebuilds
from ingestor.adapters.postgres.reconciliation import PostgresReconciliation
from ingestor.domain.bells import Bells
from ingestor.domain.collections import Collections
from ingestor.domain.documents import Documents
from ingestor.domain.intake import Intake, IntakeLimits
from ingestor.domain.jobs import Jobs
from ingestor.domain.parsing import DocumentLimits
from ingestor.domain.passages import Passages
from ingestor.domain.pipeline.fetch import FetchStage
from ingestor.domain.pipeline.index import IndexStage
from ingestor.domain.pipeline.parse import ParseStage
from ingestor.domain.pipeline.purge import PurgeStage
from ingestor.domain.rebuild import Rebuilds
from ingestor.domain.rebuilder import Rebuilder
from ingestor.domain.reconcile import Reconciler
from ingestor.domain.reconcile_schedule import ReconcileSchedule
from ingestor.domain.supervision import every
from ingestor.domain.tasks import Stage
from ingestor.servicers.collections import CollectionServicer
from ingestor.servicers.documents import DocumentServicer
from ingestor.servicers.jobs import JobServicer
from ingestor.servicers.passages import PassageServicer
from ingestor.servicers.rebuild import RebuildServicer
from ingestor.servicers.reconcile import ReconcileServicer
from ingestor.settings import IngestorSettings, Reconciliation
from ingestor.workers import Handler, Loops, running, worker_loops
from lectern.ingestor.v1 import (
    collections_pb2,
    collections_pb2_grpc,
    documents_pb2,
    documents_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    passages_pb2,
    passages_pb2_grpc,
    rebuild_pb2,
    rebuild_pb2_grpc,
    reconcile_pb2,
    reconcile_pb2_grpc,
)
from shared.errors import AppError, Status
from shared.paging import PageTokens
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import open_channel
from shared.rpc.health import Health
from shared.rpc.server import ServiceServer

log = structlog.get_logger()
SERVICE_NAMES = (
    collections_pb2.DESCRIPTOR.services_by_name["CollectionService"].full_name,
    documents_pb2.DESCRIPTOR.services_by_name["DocumentService"].full_name,
    jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    passages_pb2.DESCRIPTOR.services_by_name["PassageService"].full_name,
    rebuild_pb2.DESCRIPTOR.services_by_name["RebuildService"].full_name,
    reconcile_pb2.DESCRIPTOR.services_by_name["ReconcileService"].full_name,
)
HEALTH_SECONDS = 2.0
METRICS_SECONDS = 10.0
UPKEEP_SECONDS = 600.0
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """An ingestor that answers calls on ``port``."""

    port: int


@asynccontextmanager
async def serve(settings: IngestorSettings) -> AsyncIterator[RunningService]:
    """Start the ingestor; leaving the context drains and stops it. While the database cannot be reached, health says so.

    Raises:
        AppError: DATABASE_SCHEMA_OUTDATED, with the command that mends it.
        OSError: the address is taken.
        ValueError: the object store's URL cannot be used.
    """
    database_url = settings.database_url.get_secret_value()
    signer = CallerSigner(settings.internal_key.get_secret_value().encode())
    async with AsyncExitStack() as stack:
        # What a frozen process holds is others' when its leases are, locks included.
        opened = open_database(database_url, max_connections=settings.database_connections, idle_seconds=settings.queue.lease_seconds)
        database = await stack.enter_async_context(opened)
        health = DatabaseHealth(database)
        await _refuse_old_schema(health)
        content = ObjectContent(open_store(settings.object_store_url), database)
        parser = ParserPool(DocumentLimits(), _process_limits(settings), settings.parser_processes)
        await parser.start()
        stack.push_async_callback(parser.close)
        embedder_channel = await stack.enter_async_context(open_channel(settings.embedder_target, signer))
        embedder = Embedder(embedder_channel)
        task_bells, job_bells = Bells(), Bells()

        server = ServiceServer("ingestor", signer=signer, service_names=SERVICE_NAMES)
        intake = Intake(PostgresIntake(database), content, parser, _intake_limits(settings))
        _register(server, database, intake, job_bells, PageTokens(settings.internal_key.get_secret_value().encode()))
        reconciliation = PostgresReconciliation(database, grace_seconds=settings.reconciliation.grace_seconds)
        reconciler = Reconciler(reconciliation, embedder)
        reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server(ReconcileServicer(reconciler), server.grpc_server)
        rebuilds = PostgresRebuilds(database, reconciliation, lease_seconds=settings.queue.lease_seconds)
        rebuilder = Rebuilder(
            rebuilds,
            EmbedderIndexBuilder(embedder_channel, embedder),
            grace_seconds=settings.replaced_index_seconds,
            stall_seconds=settings.queue.stall_seconds,
        )
        rebuild_pb2_grpc.add_RebuildServiceServicer_to_server(RebuildServicer(Rebuilds(rebuilds)), server.grpc_server)
        await server.start(settings.listen)
        stack.push_async_callback(server.stop, settings.drain_seconds)

        purges = PostgresPurges(database)
        handlers: dict[Stage, Handler] = {
            Stage.FETCH: FetchStage(PostgresFetchStore(database), _fetcher(settings), content, parser),
            Stage.PARSE: ParseStage(PostgresParseStore(database), content, parser, embedder),
            Stage.INDEX: IndexStage(PostgresIndexStore(database), embedder),
            Stage.PURGE: PurgeStage(purges, embedder, content),
        }
        queue = PostgresQueue(database, lease_seconds=settings.queue.lease_seconds, max_deliveries=settings.queue.max_deliveries)
        loops: Loops = {
            "notifications": Notifications(database_url, tasks=task_bells, jobs=job_bells).run,
            "health": partial(_follow_health, health, server.health),
            "metrics": partial(every, METRICS_SECONDS, health.measure),
            "orphans": partial(every, UPKEEP_SECONDS, partial(purges.remove_orphans, content.remove)),
            "drift": partial(every, METRICS_SECONDS, reconciliation.measure),
            **_schedule(settings.reconciliation, reconciler, reconciliation, embedder),
            "rebuild": partial(every, settings.queue.poll_seconds, rebuilder.run_due),
            "upkeep": partial(every, UPKEEP_SECONDS, queue.keep_up),
            "retention": partial(every, UPKEEP_SECONDS, partial(PostgresJobs(database).prune, settings.queue.keep_days * DAY_SECONDS)),
            **worker_loops(queue, handlers, task_bells, workers=settings.workers, options=settings.queue),
        }
        await stack.enter_async_context(running(loops))
        yield RunningService(server.port)


async def _refuse_old_schema(health: DatabaseHealth) -> None:
    try:
        await health.check()
    except AppError as error:
        if error.status is Status.FAILED_PRECONDITION:
            raise
        log.warning("database_not_there_yet", reason=error.reason)


def _schedule(options: Reconciliation, reconciler: Reconciler, calendar: PostgresReconciliation, index: Embedder) -> Loops:
    if not options.every_hours:
        return {}
    every_seconds = options.every_hours * 3600
    schedule = ReconcileSchedule(
        reconciler, calendar, index, every_seconds=every_seconds, repair=options.repair, repair_share=options.repair_share
    )
    return {"reconciliation": partial(every, min(UPKEEP_SECONDS, every_seconds / 4), schedule.run_due)}


def _intake_limits(settings: IngestorSettings) -> IntakeLimits:
    limits = settings.limits
    return IntakeLimits(limits.document_bytes, limits.batch_entries, limits.batch_bytes, limits.memory_bytes)


def _process_limits(settings: IngestorSettings) -> ProcessLimits:
    return ProcessLimits(recognition_seconds=settings.recognition_seconds, programs_path=settings.programs_path)


def _fetcher(settings: IngestorSettings) -> HttpFetcher:
    fetching = settings.fetching
    return HttpFetcher(
        max_bytes=settings.limits.document_bytes,
        timeout_seconds=fetching.timeout_seconds,
        max_redirects=fetching.max_redirects,
        allowed_networks=fetching.allowed_networks,
    )


def _register(server: ServiceServer, database: Database, intake: Intake, job_bells: Bells, page_tokens: PageTokens) -> None:
    collections = Collections(PostgresCollections(database))
    jobs = Jobs(PostgresJobs(database), job_bells)
    documents = DocumentServicer(intake, Documents(PostgresDocuments(database)), collections, jobs, page_tokens)
    grpc_server = server.grpc_server
    collections_pb2_grpc.add_CollectionServiceServicer_to_server(CollectionServicer(collections, page_tokens), grpc_server)
    documents_pb2_grpc.add_DocumentServiceServicer_to_server(documents, grpc_server)
    jobs_pb2_grpc.add_JobServiceServicer_to_server(JobServicer(jobs, collections, page_tokens), grpc_server)
    passages_pb2_grpc.add_PassageServiceServicer_to_server(PassageServicer(Passages(PostgresPassages(database))), grpc_server)


async def _follow_health(database: DatabaseHealth, health: Health) -> None:
    """Keep the services' health true to whether the database can be used."""
    serving: bool | None = None
    while True:
        try:
            await database.check()
            now = True
        except AppError as error:
            now = False
            log.warning("database_unusable", reason=error.reason)
        if now != serving:
            serving = now
            await health.set_serving(now)
        await asyncio.sleep(HEALTH_SECONDS)
