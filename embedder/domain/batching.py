"""Which texts share the model's next batch.

A pure module: it knows items with a cost, a lane, an organisation, a deadline and a future, and the clock that it is given. It neither
waits nor runs anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Generic, Protocol, TypeVar

from embedder.errors import deadline_passed_in_queue

Result = TypeVar("Result")
_TURNS_IN_WINDOW = 64
# With fewer batches in a window, more than 5 % of what is run is padding.
_BATCHES_IN_WINDOW = 16
# Padded to real tokens that a batch is not filled beyond, once it is half full.
_PADDING = 1.05


class Lane(IntEnum):
    """How urgent an item is; lower goes first."""

    INTERACTIVE = 0
    BULK = 1


class DropReason(StrEnum):
    """Why a text never reached the model."""

    CALLER_LEFT = "caller_left"
    DEADLINE_PASSED = "deadline_passed"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Item(Generic[Result]):
    """One text waiting for the model.

    Attributes:
        tokens: what the encoder takes for the text; its length is its cost.
        deadline: on the queue's clock; None for ever.
        future: always ends: with a result, an exception, or cancelled by who waits for it.
    """

    tokens: Sized
    lane: Lane
    organisation_id: str
    deadline: float | None
    queued_at: float
    future: asyncio.Future[Result]

    @property
    def cost(self) -> int:
        return len(self.tokens)


class QueueObserver(Protocol):
    """Hears what the queue does; for metrics."""

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None: ...

    def queued(self, lane: Lane, tokens: int) -> None: ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Sizes, all in tokens.

    Attributes:
        batch_tokens: padded cost of one batch, longest item x items. One item that is longer still makes a batch of its own. From half of
            it on a batch ends where the next item would be padded much.
        window_tokens: how much bulk work is sorted by length at a time. Larger pads less; smaller lets new work in sooner. Several
            organisations that wait share it, down to sixteen batches.
        queue_tokens: what may wait in each lane before new work is refused; see `BatchQueue.excess`.
        batch_texts: items of one batch; None for as many as fit.
    """

    batch_tokens: int = 2048
    window_tokens: int = 65_536
    queue_tokens: int = 2_000_000
    batch_texts: int | None = None


@dataclass(slots=True)
class _LaneQueue(Generic[Result]):
    """Waiting items by organisation, and the window that is being cut into batches (sorted, longest last).

    Attributes:
        window_tokens: the window of one organisation alone.
        least_window_tokens: the window of many.
        tokens: what the items cost, and what is held for items to come.
        shares: the same by organisation; who has nothing is not in it.
        credits: tokens that an organisation whose turn it was could not use.
    """

    window_tokens: int
    least_window_tokens: int
    tokens: int = 0
    shares: Counter[str] = field(default_factory=Counter)
    credits: Counter[str] = field(default_factory=Counter)
    by_organisation: OrderedDict[str, deque[Item[Result]]] = field(default_factory=OrderedDict)
    window: list[Item[Result]] = field(default_factory=list)

    def count(self, organisation_id: str, tokens: int) -> None:
        """Add to what the organisation has here, or with a negative number take away from it."""
        self.tokens += tokens
        self.shares[organisation_id] += tokens
        if not self.shares[organisation_id]:
            del self.shares[organisation_id]

    def add(self, item: Item[Result]) -> None:
        self.by_organisation.setdefault(item.organisation_id, deque()).append(item)
        self.count(item.organisation_id, item.cost)

    def refill(self) -> None:
        """Draw the next window, as many tokens of each organisation in turn, so that a large queue cannot hold a small one up.

        The more of them wait, the smaller the window is: somebody new waits until it is run.

        Source: deficit round robin, Shreedhar and Varghese 1996.
        """
        window_tokens = max(self.least_window_tokens, self.window_tokens // max(1, len(self.by_organisation)))
        turn_tokens = max(1, window_tokens // _TURNS_IN_WINDOW)
        drawn = 0
        while self.by_organisation and drawn < window_tokens:
            organisation_id, items = self.by_organisation.popitem(last=False)
            credit = self.credits.pop(organisation_id, 0) + turn_tokens
            while items and items[0].cost <= credit:
                item = items.popleft()
                credit -= item.cost
                drawn += item.cost
                self.window.append(item)
            if items:
                self.by_organisation[organisation_id] = items
                self.credits[organisation_id] = credit
        self.window.sort(key=lambda item: item.cost)

    def everything(self) -> Iterable[Item[Result]]:
        yield from self.window
        for items in self.by_organisation.values():
            yield from items


class BatchQueue(Generic[Result]):
    """Admits items and cuts them into batches: interactive before bulk, similar lengths together, organisations in turn.

    Not thread-safe: use it from the event loop.
    """

    def __init__(self, limits: BatchLimits, *, clock: Callable[[], float], observer: QueueObserver) -> None:
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._lanes: dict[Lane, _LaneQueue[Result]] = {
            Lane.INTERACTIVE: _LaneQueue(limits.batch_tokens, limits.batch_tokens),
            Lane.BULK: _LaneQueue(limits.window_tokens, min(limits.window_tokens, _BATCHES_IN_WINDOW * limits.batch_tokens)),
        }

    def queued_tokens(self, lane: Lane) -> int:
        """What the items of a lane cost, and what is held for items to come."""
        return self._lanes[lane].tokens

    def excess(self, lane: Lane, organisation_id: str, tokens: int) -> int:
        """How many tokens too many ``tokens`` more of an organisation would be; 0 when they may wait.

        An organisation may have as much of a lane as is left free: alone it fills half, n of them fill all but 1 / (n + 1), and somebody
        new always finds room. Who has nothing there may bring a call of any size, so that none is too large for ever.

        Source: dynamic thresholds for a buffer that queues share, Choudhury and Hahne 1998.
        """
        queue = self._lanes[lane]
        free = self._limits.queue_tokens - queue.tokens
        mine = queue.shares.get(organisation_id, 0)
        if not mine and free > 0:
            return 0
        return max(0, mine + tokens - free)

    def hold(self, lane: Lane, organisation_id: str, tokens: int) -> None:
        """Keep room for items that are still being made; give it back with a negative number."""
        self._lanes[lane].count(organisation_id, tokens)
        self._observer.queued(lane, self._lanes[lane].tokens)

    def add(self, items: Sequence[Item[Result]]) -> None:
        for item in items:
            self._lanes[item.lane].add(item)
        for lane in {item.lane for item in items}:
            self._observer.queued(lane, self._lanes[lane].tokens)

    def next_batch(self, lanes: Collection[Lane] = tuple(Lane)) -> list[Item[Result]]:
        """The most urgent batch of these lanes, its items sorted by length; empty when nothing waits. Drops who left or came too late."""
        for lane in sorted(lanes):
            queue = self._lanes[lane]
            while queue.window or queue.by_organisation:
                if not queue.window:
                    queue.refill()
                if batch := self._cut(queue):
                    self._observer.queued(lane, queue.tokens)
                    return batch
            self._observer.queued(lane, queue.tokens)
        return []

    def take_back(self, batch: Sequence[Item[Result]]) -> None:
        """Put the items of a batch that did not run where they were: ahead of all not drawn yet. Drops who left or came too late."""
        for item in filter(self._is_wanted, batch):
            queue = self._lanes[item.lane]
            queue.window.append(item)
            queue.count(item.organisation_id, item.cost)
        for lane in {item.lane for item in batch}:
            self._lanes[lane].window.sort(key=lambda item: item.cost)
            self._observer.queued(lane, self._lanes[lane].tokens)

    def drop_unwanted(self) -> None:
        """End who came too late and forget who left, while no batch is cut that would do so."""
        for lane, queue in self._lanes.items():
            for items in (queue.window, *queue.by_organisation.values()):
                wanted = [item for item in items if self._is_wanted(item)]
                for item in items:
                    queue.count(item.organisation_id, -item.cost)
                items.clear()
                for item in wanted:
                    items.append(item)
                    queue.count(item.organisation_id, item.cost)
            for organisation_id in [name for name, items in queue.by_organisation.items() if not items]:
                del queue.by_organisation[organisation_id]
                queue.credits.pop(organisation_id, None)
            self._observer.queued(lane, queue.tokens)

    def drain(self) -> list[Item[Result]]:
        """Take out everything that waits; whoever calls ends the futures."""
        items = [item for queue in self._lanes.values() for item in queue.everything()]
        for item in items:
            self._lanes[item.lane].count(item.organisation_id, -item.cost)
        for lane, queue in self._lanes.items():
            queue.window.clear()
            queue.by_organisation.clear()
            self._observer.queued(lane, queue.tokens)
        return items

    def _cut(self, queue: _LaneQueue[Result]) -> list[Item[Result]]:
        batch: list[Item[Result]] = []
        tokens = 0
        while queue.window:
            item = queue.window[-1]
            if batch and self._is_full(len(batch), batch[0].cost, tokens, item.cost):
                break
            queue.window.pop()
            queue.count(item.organisation_id, -item.cost)
            if self._is_wanted(item):
                batch.append(item)
                tokens += item.cost
        batch.reverse()
        return batch

    def _is_full(self, texts: int, longest: int, tokens: int, next_cost: int) -> bool:
        """Whether a batch of ``texts`` is better run without the next one."""
        if texts == self._limits.batch_texts:
            return True
        padded = longest * (texts + 1)
        is_worth_running = longest * texts >= self._limits.batch_tokens / 2
        return padded > self._limits.batch_tokens or (is_worth_running and padded > _PADDING * (tokens + next_cost))

    def _is_wanted(self, item: Item[Result]) -> bool:
        late = item.deadline is not None and item.deadline <= self._clock()
        if not late and not item.future.done():
            return True
        if not item.future.done():
            item.future.set_exception(deadline_passed_in_queue())
        self._observer.dropped(item.lane, DropReason.DEADLINE_PASSED if late else DropReason.CALLER_LEFT)
        return False
