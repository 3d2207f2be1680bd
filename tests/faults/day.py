"""What an organisation does while things fail: it uploads, renews, fetches, adds by the dozen and deletes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ingestor.domain.ids import passage_id
from lectern.ingestor.v1 import documents_pb2
from shared.errors import AppError, Status
from tests.faults.invariants import Promises, Receipt, violations
from tests.faults.world import POLL_SECONDS, Tenant, World
from tests.integration.ingestor.library import Library

# Longer than Milvus Lite shows neither old nor new state while it seals rows.
_SETTLE_SECONDS = 10.0
BATCH = 150


def text(name: str, version: int) -> str:
    """A few passages' worth of words, none of them in another version."""
    return " ".join(f"{name}v{version}w{number}" for number in range(60))


@dataclass(slots=True)
class Day:
    """One organisation's documents: what it was told of them, and what a reader sees of them all the while."""

    tenant: Tenant
    address: str
    kept: str = ""
    renewed: str = ""
    doomed: str = ""
    promises: Promises = field(default_factory=Promises)
    seen_wrong: list[str] = field(default_factory=list)
    renewed_is_acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    _old: list[str] = field(default_factory=list)
    _new: list[str] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)
    _shows_new: bool = False
    _receipt: Receipt | None = None

    async def begin(self) -> None:
        """Fill a library while nothing fails."""
        await self.tenant.insist(_create)
        self.kept, self.renewed, self.doomed = [await self.upload(name, 1) for name in ("kept", "renewed", "doomed")]
        await self.tenant.quiet()
        stores = await self.tenant.stores()
        passages = {one: [passage for passage in stores.passage if passage["document_id"] == one] for one in (self.renewed, self.doomed)}
        self._old = [passage["passage_id"] for passage in passages[self.renewed]]
        # The words of both versions are cut alike.
        self._new = [passage_id(self.renewed, 2, passage["ordinal"]) for passage in passages[self.renewed]]
        self._gone = [passage["passage_id"] for passage in passages[self.doomed]]
        vectors = sum(row.document_id == self.doomed for row in stores.rows)
        self._receipt = Receipt(passages=len(self._gone), vectors=vectors, files=1)
        assert vectors == len(self._gone) > 1

    async def work(self) -> None:
        """Do everything that a failure may meet, and keep at it until each is acknowledged."""
        await self.upload("renewed", 2)
        self.renewed_is_acknowledged.set()
        await self.add_many()
        await self.upload("fetched", 1, url=self.address)
        await self.delete()

    async def end(self) -> None:
        """Wait for quiet; then every invariant holds."""
        await self.tenant.quiet()
        found: list[str] = []
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while found := violations(await self.tenant.stores(), self.promises):  # noqa: ASYNC110  # stores can only be looked at
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError("\n".join(found) + f"\n{self.tenant.world.logs()}") from None
        assert self.seen_wrong == []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Inside, a reader looks at the documents again and again."""
        reader = asyncio.create_task(self._read_on())
        try:
            yield
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read_on(self) -> None:
        while True:
            gone = list(self._gone) if self.doomed not in self.promises.texts else []
            try:
                visible = await self.tenant.visible([*self._old, *self._new, *gone], seconds=POLL_SECONDS * 20)
            except (TimeoutError, AppError):
                await asyncio.sleep(POLL_SECONDS)
                continue
            self._judge({passage.passage_id for passage in visible}, set(gone))
            await asyncio.sleep(POLL_SECONDS)

    def _judge(self, visible: set[str], gone: set[str]) -> None:
        shown = visible - gone
        if visible & gone:
            self.seen_wrong.append("a deleted document was shown")
        if shown == set(self._new):
            self._shows_new = True
        elif shown != set(self._old):
            self.seen_wrong.append(f"{len(shown & set(self._old))} old and {len(shown & set(self._new))} new passages were shown at once")
        elif self._shows_new:
            self.seen_wrong.append("the old generation came back")

    async def upload(self, name: str, version: int, *, url: str = "") -> str:
        """Send a version of a document until it is acknowledged; its id."""
        content = "" if url else text(name, version)
        address = f"{url}/{name}" if url else ""
        response = await self.tenant.insist(lambda library: library.upload(content, external_id=name, name=f"{name}.txt", url=address))
        document_id: str = response.document.document_id
        self.promises.texts[document_id] = text(name, version)
        return document_id

    async def add_many(self) -> None:
        """Send many short documents as one job."""
        entries = [documents_pb2.BatchEntry(external_id=f"many-{number}", text=text(f"many{number}", 1)[:90]) for number in range(BATCH)]
        await self.tenant.insist(lambda library: library.batch(entries))
        texts = {entry.external_id: entry.text for entry in entries}
        named = "SELECT document_id, external_id FROM library.document WHERE organisation_id = $1 AND external_id = ANY($2::text[])"
        found = await self.tenant.query(named, self.tenant.organisation_id, list(texts))
        assert len(found) == len(texts)
        self.promises.texts.update({row["document_id"]: texts[row["external_id"]] for row in found})

    async def delete(self) -> None:
        """Delete the document that is to go."""
        try:
            await self.tenant.insist(lambda library: library.delete(self.doomed))
        except AppError as error:
            if error.status is not Status.NOT_FOUND:
                raise
            # An earlier try was carried out and its answer lost.
        del self.promises.texts[self.doomed]
        self.promises.deleted[self.doomed] = self._receipt


async def begun(world: World, name: str, address: str) -> Day:
    """A day of an organisation of its own, its library filled."""
    day = Day(world.tenant(name), address)
    await day.begin()
    return day


async def _create(library: Library) -> None:
    try:
        await library.create_collection()
    except AppError as error:
        if error.status is not Status.ALREADY_EXISTS:
            raise
