"""The named steps at which a service can be made to fail.

The services carry no code for this: a step is a method of an adapter or a stage, and `woven` wraps it for the time of a test. So there is
nothing in a shipped process that anybody could switch on.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Reach: TypeAlias = Callable[[str], Awaitable[None]]


class Moment(StrEnum):
    """When the step counts as reached, seen from the function that it is tied to."""

    BEFORE = "before"
    AFTER = "after"
    AFTER_FIRST = "after the first item"


@dataclass(frozen=True, slots=True)
class Failpoint:
    """A named step.

    Attributes:
        name: of the step, ``<part>.<step>``.
        function: ``module:name`` of a coroutine function or asynchronous generator function.
        within_transaction: whether database locks are held there.
    """

    name: str
    function: str
    moment: Moment
    within_transaction: bool = False

    @property
    def part(self) -> str:
        """What it is a step of."""
        return self.name.partition(".")[0]

    @property
    def service(self) -> str:
        """The process that comes by there."""
        return self.function.partition(".")[0]


_POSTGRES = "ingestor.adapters.postgres"
_PIPELINE = "ingestor.domain.pipeline"
_BUILDER = "ingestor.adapters.index_builder:EmbedderIndexBuilder"
_COLLECTIONS = "embedder.adapters.milvus.collections:MilvusCollections"
FAILPOINTS = (
    Failpoint("intake.object_stored", "ingestor.adapters.object_store:ObjectContent.put", Moment.AFTER),
    Failpoint("intake.before_commit", f"{_POSTGRES}.intake:_write", Moment.AFTER, within_transaction=True),
    Failpoint("intake.committed", f"{_POSTGRES}.intake:PostgresIntake.accept", Moment.AFTER),
    Failpoint("fetch.claimed", f"{_PIPELINE}.fetch:FetchStage.__call__", Moment.BEFORE),
    Failpoint("fetch.fetched", "ingestor.adapters.fetching.fetcher:HttpFetcher.fetch", Moment.AFTER),
    Failpoint("fetch.committed", f"{_POSTGRES}.fetch_store:PostgresFetchStore.store_fetched", Moment.AFTER),
    Failpoint("parse.claimed", f"{_PIPELINE}.parse:ParseStage.__call__", Moment.BEFORE),
    Failpoint("parse.languages_told", "ingestor.adapters.parsers.pool:ParserPool.languages", Moment.AFTER),
    Failpoint("parse.parsed", "ingestor.adapters.parsers.pool:ParserPool.parse", Moment.AFTER),
    Failpoint("parse.chunked", f"{_PIPELINE}.parse:ParseStage._cut", Moment.AFTER),
    Failpoint("parse.before_commit", f"{_POSTGRES}.parse_store:_write", Moment.AFTER, within_transaction=True),
    Failpoint("parse.committed", f"{_POSTGRES}.parse_store:PostgresParseStore.store_parsed", Moment.AFTER),
    Failpoint("index.claimed", f"{_PIPELINE}.index:IndexStage.__call__", Moment.BEFORE),
    Failpoint("index.batch_sent", "ingestor.adapters.embedder:_each", Moment.AFTER_FIRST),
    Failpoint("index.batch_acknowledged", "ingestor.adapters.embedder:Embedder.write", Moment.AFTER_FIRST),
    Failpoint("index.accounted", f"{_POSTGRES}.index_store:PostgresIndexStore.account", Moment.AFTER),
    Failpoint("publish.before_verify", f"{_PIPELINE}.index:IndexStage._verify", Moment.BEFORE),
    Failpoint("publish.verified", f"{_PIPELINE}.index:IndexStage._verify", Moment.AFTER),
    Failpoint("publish.before_commit", f"{_POSTGRES}.index_store:refresh_attributes", Moment.AFTER, within_transaction=True),
    Failpoint("publish.committed", f"{_POSTGRES}.index_store:PostgresIndexStore.publish", Moment.AFTER),
    Failpoint("delete.before_commit", f"{_POSTGRES}.documents:queue_purge", Moment.AFTER, within_transaction=True),
    Failpoint("purge.claimed", f"{_PIPELINE}.purge:PurgeStage.__call__", Moment.BEFORE),
    Failpoint("purge.vectors_deleted", "ingestor.adapters.embedder:Embedder.delete", Moment.AFTER),
    Failpoint("purge.before_commit", f"{_POSTGRES}.purges:_remove_unused", Moment.AFTER, within_transaction=True),
    Failpoint("purge.committed", f"{_POSTGRES}.purges:PostgresPurges.finish", Moment.AFTER),
    Failpoint("embedder.before_upsert", "embedder.adapters.milvus.index:MilvusIndex.upsert", Moment.BEFORE),
    Failpoint("embedder.before_acknowledging", "embedder.adapters.milvus.index:MilvusIndex.upsert", Moment.AFTER),
    Failpoint("embedder.mid_stream", "embedder.domain.indexing:PassageIndexer.index_stream", Moment.AFTER_FIRST),
    Failpoint("embedder.before_delete", "embedder.adapters.milvus.index:MilvusIndex.delete_documents", Moment.BEFORE),
    Failpoint("embedder.after_delete", "embedder.adapters.milvus.index:MilvusIndex.delete_documents", Moment.AFTER),
    Failpoint("rebuild.prepared", f"{_BUILDER}.prepare", Moment.AFTER),
    Failpoint("rebuild.written", f"{_BUILDER}.build", Moment.AFTER),
    Failpoint("rebuild.writers_held", f"{_POSTGRES}.rebuilds:PostgresRebuilds.writers_are_still", Moment.AFTER),
    Failpoint("rebuild.before_switch", f"{_BUILDER}.switch", Moment.BEFORE),
    Failpoint("rebuild.switched", f"{_BUILDER}.switch", Moment.AFTER),
    Failpoint("rebuild.dropped", f"{_BUILDER}.drop", Moment.AFTER),
    Failpoint("rebuild.embedder_prepared", f"{_COLLECTIONS}.prepare", Moment.AFTER),
    Failpoint("rebuild.embedder_before_switch", f"{_COLLECTIONS}.switch", Moment.BEFORE),
    Failpoint("rebuild.embedder_switched", f"{_COLLECTIONS}.switch", Moment.AFTER),
)


@contextmanager
def woven(reach: Reach, service: str) -> Iterator[None]:
    """Inside, ``reach`` is awaited with the name of each of ``service``'s steps whenever one is come by.

    Raises:
        AttributeError: a failpoint names a function that there is none of.
    """
    with ExitStack() as stack:
        for failpoint in FAILPOINTS:
            if failpoint.service == service:
                stack.enter_context(_wrapped(failpoint, reach))
        yield


@contextmanager
def _wrapped(failpoint: Failpoint, reach: Reach) -> Iterator[None]:
    module, _, path = failpoint.function.partition(":")
    *outer, name = path.split(".")
    owner = functools.reduce(getattr, outer, importlib.import_module(module))
    original = getattr(owner, name)
    arrive = functools.partial(reach, failpoint.name)
    setattr(owner, name, _wrapper(original, failpoint.moment, arrive))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _wrapper(original: Any, moment: Moment, arrive: Callable[[], Awaitable[None]]) -> Any:
    if moment is Moment.AFTER_FIRST:
        if not inspect.isasyncgenfunction(original):
            raise TypeError(f"{original} makes no items")
        return _after_first(original, arrive)
    if not inspect.iscoroutinefunction(original):
        raise TypeError(f"{original} cannot be waited for")

    @functools.wraps(original)
    async def call(*arguments: Any, **named: Any) -> Any:
        if moment is Moment.BEFORE:
            await arrive()
        result = await original(*arguments, **named)
        if moment is Moment.AFTER:
            await arrive()
        return result

    return call


def _after_first(original: Any, arrive: Callable[[], Awaitable[None]]) -> Any:
    @functools.wraps(original)
    async def items(*arguments: Any, **named: Any) -> AsyncGenerator[Any]:
        first = True
        async with aclosing(original(*arguments, **named)) as inner:
            async for item in inner:
                yield item
                if first:
                    await arrive()
                first = False

    return items
