"""The ingestor, the embedder and their stores as real processes, with a proxy on every way between them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import grpc
from pymilvus import MilvusClient

from deploy.laptop.milvus import EmbeddedMilvus
from deploy.laptop.postgres import EmbeddedPostgres
from ingestor.adapters.embedder import Embedder
from ingestor.migrations import FOLDER, SCHEMA
from lectern.ingestor.v1 import passages_pb2
from shared.errors import AppError, Status
from shared.migrations import Migrations
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import open_channel
from tests.conftest import free_port, wait_for_port
from tests.faults.invariants import Row, Stores, stored_files
from tests.faults.orders import Orders
from tests.faults.proxy import Proxy, to_port, to_socket
from tests.faults.services import embedder_process, ingestor_process
from tests.faults.stores import ALL_OF
from tests.faults.supervised import Supervised
from tests.integration.ingestor.dictionary_embedder import Indexes
from tests.integration.ingestor.library import Library

Result = TypeVar("Result")
CALL_SECONDS = 6.0
# Leases, restarts and stalls take seconds. A machine that does much else stretches them.
PATIENCE_SECONDS = 100.0
POLL_SECONDS = 0.05
_SCANNED_ROWS = 1000
# What a caller tries again after: the service was away, ill, or broke.
_PASSING = {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.RESOURCE_EXHAUSTED, Status.INTERNAL, Status.CANCELLED, Status.UNKNOWN}


@dataclass(slots=True)
class Ingestor:
    """An ingestor's process and the channel that its callers use."""

    process: Supervised
    channel: grpc.aio.Channel


@dataclass(slots=True)
class World:
    """Everything that runs. Faults are for whoever holds it to make."""

    folder: Path
    orders: Orders
    postgres: EmbeddedPostgres
    milvus: EmbeddedMilvus
    to_postgres: Proxy
    to_milvus: Proxy
    to_embedder: Proxy
    embedder: Supervised
    first: Ingestor
    second: Ingestor
    index: Embedder
    database_url: str
    serving: list[Ingestor] = field(default_factory=list)

    @property
    def files(self) -> Path:
        """The object store's folder."""
        return self.folder / "files"

    def tenant(self, name: str) -> Tenant:
        """An organisation that nobody has been before."""
        return Tenant(self, f"{name}-{secrets.token_hex(4)}")

    async def start_second_ingestor(self) -> None:
        await self.second.process.start()
        self.serving.insert(0, self.second)

    async def stop_second_ingestor(self) -> None:
        if self.second in self.serving:
            self.serving.remove(self.second)
            await self.second.process.stop()

    async def reached(self, failpoint: str) -> None:
        """Return when a process has failed at ``failpoint``."""
        await self._until(lambda: self.orders.process_that_failed_at(failpoint) is not None, f"nothing came by {failpoint}")

    async def given_up(self, failpoint: str) -> None:
        """Return when nothing waits any more for the step that stalls at ``failpoint``."""
        await self._until(lambda: self.orders.was_given_up(failpoint), f"nothing gave up what stalls at {failpoint}")

    async def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        """Return when something has happened in another process."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not happened():  # noqa: ASYNC110  # other processes announce nothing
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{otherwise}\n{self.logs()}") from None

    async def thaw_first_ingestor(self) -> None:
        """Let a frozen first ingestor go on, and give it the time to try whatever it still wants."""
        self.first.process.signal(signal.SIGCONT)
        waker = self.tenant("waker")
        for _ in range(30):
            await waker.insist(lambda library: library.read(), ingestors=[self.first])
            await asyncio.sleep(POLL_SECONDS)

    async def start_milvus(self) -> None:
        """Start Milvus again after it was killed."""
        self.milvus.start()
        await asyncio.to_thread(wait_for_port, urlsplit(self.milvus.uri).port or 0, seconds=60)

    async def empty(self) -> None:
        """Leave nothing in the library: a rebuild of the index takes as long as everybody has passages."""
        await self.query("TRUNCATE library.collection, library.job CASCADE")

    async def query(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of Postgres, past the proxy."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def collections(self) -> list[str]:
        """What the vector store has."""

        def listed() -> list[str]:
            with closing(MilvusClient(self.milvus.uri)) as client:
                return list(client.list_collections())

        return await asyncio.to_thread(listed)

    def restart_postgres(self) -> None:
        """Have Postgres drop everything at once, as after a power cut, and start it again. Blocking: seconds."""
        pid = self.postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        self.postgres.stop()
        self.postgres.start()

    async def heal(self) -> None:
        """End every fault that a test may have left behind."""
        self.orders.withdraw_all()
        for proxy in (self.to_postgres, self.to_milvus, self.to_embedder):
            proxy.flow()
        for process in (self.first.process, self.second.process, self.embedder):
            process.signal(signal.SIGCONT)
        await self.stop_second_ingestor()

    async def transactions(self) -> str:
        """Those that are open, with what each waits for: who keeps others waiting is among them."""
        opened = """
        SELECT pid, state, wait_event, now() - xact_start AS age, pg_blocking_pids(pid) AS waits_for, left(query, 200) AS query
        FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start
        """
        return "\n".join(str(dict(row)) for row in await self.query(opened))

    def logs(self) -> str:
        """The ends of the services' logs."""
        processes = (self.first.process, self.second.process, self.embedder)
        return "\n\n".join(f"--- {process.name}\n{process.last_lines()}" for process in processes)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organisation's callers, who try again when a service is away."""

    world: World
    organisation_id: str

    async def insist(
        self,
        act: Callable[[Library], Awaitable[Result]],
        *,
        seconds: float = PATIENCE_SECONDS,
        ingestors: Sequence[Ingestor] | None = None,
    ) -> Result:
        """What ``act`` gives, asked of one ingestor after the other until it is not refused for a passing reason.

        Raises:
            AppError: a reason that does not pass.
            TimeoutError: refused for ``seconds``.
        """
        ends = time.monotonic() + seconds
        while True:
            for ingestor in ingestors or list(self.world.serving):
                try:
                    async with asyncio.timeout(CALL_SECONDS):
                        return await act(self.library(ingestor))
                except (TimeoutError, AppError) as error:
                    if isinstance(error, AppError) and error.status not in _PASSING:
                        raise
                    if time.monotonic() > ends:
                        raise TimeoutError(f"refused for {seconds:g} s, at last with {error!r}\n{self.world.logs()}") from error
            await asyncio.sleep(POLL_SECONDS)

    async def visible(self, passage_ids: Sequence[str], *, seconds: float = PATIENCE_SECONDS) -> list[passages_pb2.Passage]:
        """Those of the passages that a reader may see now."""
        return await self.insist(lambda library: library.read(*passage_ids), seconds=seconds)

    async def quiet(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when no task of the organisation is waited for any more."""
        of_the_organisation = """
        SELECT stage, state, deliveries, message, lease_until < now() AS expired FROM library.task
        WHERE organisation_id = $1 AND state IN ('QUEUED', 'RUNNING')
        """
        left: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                while left := await self.query(of_the_organisation, self.organisation_id):  # noqa: ASYNC110  # rows can only be looked at
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            unfinished = [dict(row) for row in left]
            raise AssertionError(f"still unfinished: {unfinished}\n{await self.world.transactions()}\n{self.world.logs()}") from None

    async def query(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of Postgres, past the proxy."""
        return await self.world.query(statement, *arguments)

    async def rebuilt(self) -> str:
        """The state in which the newest rebuild of the index ended, once what it replaced is gone."""
        newest = """
        SELECT state, reason, message, EXISTS (SELECT FROM library.index_rebuild WHERE state = 'SUCCEEDED' AND drop_time IS NULL) AS kept
        FROM library.index_rebuild ORDER BY create_time DESC LIMIT 1
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (row := (await self.query(newest))[0])["state"] not in {"SUCCEEDED", "FAILED"} or row["kept"]:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"the rebuild has not ended: {dict(row)}\n{self.world.logs()}") from None
        return str(row["state"])

    async def stores(self) -> Stores:
        """What the three stores hold of the organisation."""
        tables = {table: [dict(row) for row in await self.query(all_of, self.organisation_id)] for table, all_of in ALL_OF.items()}
        return Stores(**tables, rows=await self._rows(), files=stored_files(self.world.files, self.organisation_id))

    async def _rows(self) -> list[Row]:
        rows: list[Row] = []
        while page := await self.world.index.scan(self.organisation_id, rows[-1].passage_id if rows else "", _SCANNED_ROWS):
            rows += [Row(row.passage_id, row.document_id, row.generation) for row in page]
        return rows

    def library(self, ingestor: Ingestor) -> Library:
        return Library(self.organisation_id, ingestor.channel, self.world.database_url, Indexes())


@asynccontextmanager
async def open_world(folder: Path, model: Path) -> AsyncIterator[World]:
    """Start everything; the embedder runs the small ``model``."""
    key = secrets.token_hex(32)
    async with AsyncExitStack() as stack:

        async def started(proxy: Proxy) -> Proxy:
            await proxy.start()
            stack.push_async_callback(proxy.close)
            return proxy

        async def channel_to(port: int) -> grpc.aio.Channel:
            return await stack.enter_async_context(open_channel(f"127.0.0.1:{port}", CallerSigner(key.encode())))

        milvus_port, embedder_port = free_port(), free_port()
        milvus = EmbeddedMilvus(folder / "milvus", milvus_port, stack.enter_context((folder / "milvus.log").open("ab")))
        milvus.start()
        stack.callback(milvus.kill)
        to_milvus, to_embedder = await started(Proxy(to_port(milvus_port))), await started(Proxy(to_port(embedder_port)))
        # First, for its model takes longest.
        embedder = embedder_process(folder, embedder_port, model, key, milvus=to_milvus)
        await embedder.start()
        stack.push_async_callback(embedder.kill)

        postgres = EmbeddedPostgres(folder / "postgres")
        database_url = await asyncio.to_thread(postgres.start)
        stack.callback(postgres.stop)
        await Migrations(SCHEMA, FOLDER).upgrade(database_url)
        [socket_folder] = parse_qs(urlsplit(database_url).query)["host"]
        to_postgres = await started(Proxy(to_socket(f"{socket_folder}/.s.PGSQL.5432")))

        ingestors = []
        for name in ("first-ingestor", "second-ingestor"):
            port = free_port()
            process = ingestor_process(name, folder, port, key, postgres=to_postgres, embedder=to_embedder)
            stack.push_async_callback(process.stop)
            ingestors.append(Ingestor(process, await channel_to(port)))
        first, second = ingestors
        await first.process.start()
        await asyncio.to_thread(wait_for_port, milvus_port, seconds=60)
        index = Embedder(await channel_to(embedder_port))
        proxies = (to_postgres, to_milvus, to_embedder)
        yield World(folder, Orders(folder / "orders"), postgres, milvus, *proxies, embedder, first, second, index, database_url, [first])
