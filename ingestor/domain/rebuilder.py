"""Rebuilding the whole vector index from the library, while the old one answers.

The new index is compared with the library like a damaged one and gets what it lacks, again and again until a walk through everything
finds next to nothing. Then the tasks that write to the index are held back, the last differences are written, and the new index takes the
old one's place. Nothing but this writes to the new index before, so a walk that was cut short is made good by the next.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial

import structlog

from ingestor.domain.drift import Difference, IndexRow, compare
from ingestor.domain.pipeline.index import Attributes, StoredPassage
from ingestor.domain.rebuild import IndexBuilder, Rebuild, RebuildState, RebuildStore
from ingestor.domain.supervision import every
from ingestor.errors import passages_rejected
from shared.errors import AppError, Status

log = structlog.get_logger()

# Passages of each store that are compared at once.
WINDOW_PASSAGES = 2048
# Passages that are embedded in one call; how far it is is said between two.
WRITE_PASSAGES = 256
# When a walk wrote no more than so much, what is left is written while the tasks are held back.
FEW_DIFFERENCES = 500
# Where more than that comes and goes in the time of a walk, walking on is of no use.
MOST_WALKS = 5
# Walks while tasks are held back: one that writes, one that finds nothing, and some for an index that loses what it acknowledged.
LAST_WALKS = 5
POLL_SECONDS = 0.3
# What passes by itself; anything else ends the rebuild.
_PASSING = (Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED, Status.DEADLINE_EXCEEDED, Status.ABORTED, Status.CANCELLED)


class LeaseLostError(Exception):
    """Somebody else works on the rebuild now."""


class Rebuilder:
    """Works on the rebuild that there is, if there is one. One process at a time does, whichever comes first."""

    def __init__(self, store: RebuildStore, index: IndexBuilder, *, grace_seconds: float, stall_seconds: float) -> None:
        """Keep a replaced collection for ``grace_seconds``: a search that began before the switch may still read it.

        An attempt that does not progress for ``stall_seconds`` is given up for another.
        """
        self._store = store
        self._index = index
        self._grace_seconds = grace_seconds
        self._stall_seconds = stall_seconds

    async def run_due(self) -> None:
        """Work on the rebuild until it ends or cannot go on for now, and drop what earlier ones have replaced.

        Raises:
            AppError: something could not be dropped.
            TimeoutError: dropping it did not end.
        """
        for collection in await self._store.take_replaced(grace_seconds=self._grace_seconds):
            async with asyncio.timeout(self._stall_seconds):
                await self._index.drop(collection)
            await self._store.forget_replaced(collection)
        token = secrets.token_hex(16)
        rebuild = await self._store.take(token)
        if rebuild is None:
            return
        work = _Work(self._store, self._index, rebuild, token, stall_seconds=self._stall_seconds)
        renewing = asyncio.create_task(every(self._store.lease_seconds / 4, partial(self._store.renew, rebuild.rebuild_id, token)))
        try:
            await work.run()
        except AppError as error:
            await work.stop(error)
        except LeaseLostError:
            log.warning("rebuild_lease_lost", rebuild_id=rebuild.rebuild_id)
        except TimeoutError:
            log.warning("rebuild_stalled", rebuild_id=rebuild.rebuild_id, state=rebuild.state.value)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._store.release(rebuild.rebuild_id, token)


class _Work:
    """The work on one rebuild under one lease."""

    def __init__(self, store: RebuildStore, index: IndexBuilder, rebuild: Rebuild, token: str, *, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._limit = asyncio.timeout(stall_seconds)
        self._store = store
        self._index = index
        self._rebuild = rebuild
        self._token = token

    async def run(self) -> None:
        """Bring the rebuild to its end.

        Raises:
            TimeoutError: nothing was saved for too long.
        """
        async with self._limit:
            await self._build()

    async def _build(self) -> None:
        rebuild = self._rebuild
        if not rebuild.collection:
            rebuild.collection, rebuild.replaced_collection = await self._index.prepare()
        rebuild.reason, rebuild.message = "", ""
        await self._save()
        # Whoever was switching may have done it: nothing is let go on before that is brought to its end.
        if rebuild.state is not RebuildState.SWITCHING:
            await self._catch_up()
            rebuild.state = RebuildState.SWITCHING
            await self._save()
        while not await self._store.writers_are_still():
            await self._save()
            await asyncio.sleep(POLL_SECONDS)
        await self._finish()
        rebuild.state = RebuildState.SUCCEEDED
        await self._save()
        log.info("index_rebuilt", rebuild_id=rebuild.rebuild_id, embedded=rebuild.embedded, reused=rebuild.reused)

    async def stop(self, error: AppError) -> None:
        """Leave the rest to the next attempt, or give up where there is no sense in one."""
        rebuild = self._rebuild
        if error.status not in _PASSING:
            rebuild.state = RebuildState.FAILED
        rebuild.reason, rebuild.message = error.reason, error.message
        log.warning("rebuild_stopped", rebuild_id=rebuild.rebuild_id, reason=error.reason, state=rebuild.state.value)
        await self._store.save(rebuild, self._token)

    async def _save(self) -> None:
        if not await self._store.save(self._rebuild, self._token):
            raise LeaseLostError
        self._limit.reschedule(asyncio.get_running_loop().time() + self._stall_seconds)

    async def _catch_up(self) -> None:
        """Write everything while documents come and go, until little is left."""
        for _ in range(MOST_WALKS):
            if await self._walk() <= FEW_DIFFERENCES:
                return

    async def _finish(self) -> None:
        """Write what is left and switch. Documents may be hidden meanwhile, but nothing becomes visible."""
        for _ in range(LAST_WALKS):
            if not await self._walk():
                await self._index.switch(self._rebuild.collection, serving=self._rebuild.replaced_collection)
                return
        raise AppError("VECTORS_LOST", Status.DATA_LOSS, "The vector index acknowledged passages and then did not have them.")

    async def _walk(self) -> int:
        """Compare everything once and write what differs; how many passages did."""
        rebuild = self._rebuild
        organisations = await self._organisations()
        counts = [await self._store.visible_count(organisation_id) for organisation_id in organisations]
        rebuild.walk, rebuild.done, rebuild.total = rebuild.walk + 1, 0, sum(counts)
        await self._save()
        return sum([await self._walk_organisation(organisation_id) for organisation_id in organisations])

    async def _organisations(self) -> list[str]:
        """Those of the library, and those that the new index got rows of before the library forgot them."""
        known, built = await asyncio.gather(self._store.organisations(), self._index.built_organisations(self._rebuild.collection))
        return sorted({*known, *built})

    async def _walk_organisation(self, organisation_id: str) -> int:
        after, differing = "", 0
        while True:
            expected, held = await asyncio.gather(
                self._store.visible_rows(organisation_id, after, WINDOW_PASSAGES),
                self._index.scan_built(organisation_id, self._rebuild.collection, after, WINDOW_PASSAGES),
            )
            # A full page may not be the end of its side: only what lies before the ends of both can be compared.
            end = min((rows[-1].passage_id for rows in (expected, held) if len(rows) == WINDOW_PASSAGES), default=None)
            expected, held = ([row for row in rows if end is None or row.passage_id <= end] for rows in (expected, held))
            differences = compare(expected, held)
            differing += len(differences)
            await self._mend(organisation_id, after, differences)
            self._rebuild.done += len(expected)
            await self._save()
            if end is None:
                return differing
            after = end

    async def _mend(self, organisation_id: str, after: str, differences: Sequence[Difference]) -> None:
        surplus = list({each.held.passage_id for each in differences if each.held})
        if surplus:
            await self._index.delete_built(organisation_id, self._rebuild.collection, surplus)
        wanted = {each.expected.passage_id: each.expected for each in differences if each.expected}
        if not wanted:
            return
        sound = await self._sound(organisation_id, after, wanted)
        ids = sorted(wanted)
        for start in range(0, len(ids), WRITE_PASSAGES):
            passages, attributes = await self._store.visible_passages(organisation_id, ids[start : start + WRITE_PASSAGES])
            if passages:
                await self._write(organisation_id, [_taking_over(passage, sound) for passage in passages], attributes)
            await self._save()

    async def _write(self, organisation_id: str, passages: Sequence[StoredPassage], attributes: Mapping[str, Attributes]) -> None:
        built = await self._index.build(organisation_id, self._rebuild.collection, passages, attributes)
        if built.rejected:
            raise passages_rejected(built.rejected)
        self._rebuild.embedded += built.embedded
        self._rebuild.reused += built.reused

    async def _sound(self, organisation_id: str, after: str, wanted: Mapping[str, IndexRow]) -> AbstractSet[str]:
        """Those that the index that answers holds as they should be, and once: their vectors can be trusted."""
        last = max(wanted)
        held: list[IndexRow] = []
        while after < last and (page := await self._index.scan(organisation_id, after, WINDOW_PASSAGES)):
            held += [row for row in page if row.passage_id in wanted]
            after = page[-1].passage_id
        differing = {each.row.passage_id for each in compare(list(wanted.values()), held)}
        return wanted.keys() - differing


def _taking_over(passage: StoredPassage, sound: AbstractSet[str]) -> StoredPassage:
    return replace(passage, take_vector_from=passage.passage_id) if passage.passage_id in sound else passage
