from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.domain.batching import BatchLimits, BatchQueue, DropReason, Item, Lane
from shared.errors import AppError

LIMITS = BatchLimits(batch_tokens=100, window_tokens=1_000, queue_tokens=500)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Drops:
    """Remembers what the queue tells."""

    def __init__(self) -> None:
        self.reasons: list[tuple[Lane, DropReason]] = []
        self.tokens: dict[Lane, int] = {}

    def dropped(self, lane: Lane, reason: DropReason, texts: int = 1) -> None:
        self.reasons += [(lane, reason)] * texts

    def queued(self, lane: Lane, tokens: int) -> None:
        self.tokens[lane] = tokens


class Bench:
    def __init__(self, limits: BatchLimits = LIMITS) -> None:
        self.clock = Clock()
        self.drops = Drops()
        self.queue: BatchQueue[str] = BatchQueue(limits, clock=self.clock, observer=self.drops)

    def add(self, *lengths: int, lane: Lane = Lane.BULK, organisation: str = "a", deadline: float | None = None) -> list[Item[str]]:
        items = [
            Item[str](range(length), lane, organisation, deadline, self.clock.now, asyncio.get_running_loop().create_future())
            for length in lengths
        ]
        self.queue.add(items)
        return items

    def lengths(self) -> list[int]:
        return [item.cost for item in self.queue.next_batch()]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_an_empty_queue_gives_no_batch(bench: Bench) -> None:
    assert bench.queue.next_batch() == []


async def test_texts_of_similar_length_share_a_batch(bench: Bench) -> None:
    bench.add(50, 3, 49, 4, 48, 2)
    assert bench.lengths() == [49, 50]
    assert bench.lengths() == [4, 48]
    assert bench.lengths() == [2, 3]


async def test_a_batch_that_is_half_full_ends_where_the_next_text_would_be_padded_much(bench: Bench) -> None:
    bench.add(30, 30, 29, 20, 10)
    assert bench.lengths() == [29, 30, 30]
    bench.add(30, 30)
    assert bench.lengths() == [10, 20]
    assert bench.lengths() == [30, 30]
    bench.add(30, 30, 20)
    assert bench.lengths() == [30, 30]
    assert bench.lengths() == [20]


async def test_a_text_longer_than_the_budget_makes_a_batch_of_its_own(bench: Bench) -> None:
    bench.add(10, 400)
    assert bench.lengths() == [400]
    assert bench.lengths() == [10]


async def test_interactive_texts_go_before_bulk_ones_that_came_earlier(bench: Bench) -> None:
    bench.add(40, 40)
    bench.add(7, lane=Lane.INTERACTIVE)
    assert bench.lengths() == [7]
    assert bench.lengths() == [40, 40]


async def test_organisations_take_turns_however_much_one_has_queued() -> None:
    bench = Bench(BatchLimits(batch_tokens=20, window_tokens=20, queue_tokens=10_000))
    bench.add(*[10] * 50, organisation="large")
    bench.add(10, 10, organisation="small")
    first = [item.organisation_id for item in bench.queue.next_batch()]
    second = [item.organisation_id for item in bench.queue.next_batch()]
    assert sorted(first + second) == ["large", "large", "small", "small"]


async def test_somebody_new_waits_for_less_the_more_organisations_share_the_model() -> None:
    def tokens_before_somebody_new(organisations: str) -> int:
        bench = Bench(BatchLimits(batch_tokens=20, window_tokens=2_000, queue_tokens=10**6))
        for organisation in organisations:
            bench.add(*[10] * 500, organisation=organisation)
        bench.queue.next_batch()
        bench.add(10, organisation="new")
        before = 0
        for batch in iter(bench.queue.next_batch, []):
            if any(item.organisation_id == "new" for item in batch):
                break
            before += sum(item.cost for item in batch)
        return before

    alone, two, many = (tokens_before_somebody_new(organisations) for organisations in ("a", "ab", "abcdefgh"))
    assert alone > 1.8 * two
    assert two > 2.5 * many >= 16 * 20


async def test_a_text_whose_caller_left_is_dropped_and_counted(bench: Bench) -> None:
    left, stays = bench.add(10, 10)
    left.future.cancel()
    assert bench.queue.next_batch() == [stays]
    assert bench.drops.reasons == [(Lane.BULK, DropReason.CALLER_LEFT)]


async def test_a_text_whose_caller_left_when_its_time_was_over_counts_as_late(bench: Bench) -> None:
    (late,) = bench.add(10, deadline=5.0)
    late.future.cancel()
    bench.clock.now = 6.0
    assert bench.queue.next_batch() == []
    assert bench.drops.reasons == [(Lane.BULK, DropReason.DEADLINE_PASSED)]


async def test_a_text_whose_deadline_passed_is_refused_and_counted(bench: Bench) -> None:
    (late,) = bench.add(10, deadline=5.0)
    bench.clock.now = 5.0
    assert bench.queue.next_batch() == []
    error = late.future.exception()
    assert isinstance(error, AppError)
    assert error.reason == "DEADLINE_PASSED_IN_QUEUE"
    assert bench.drops.reasons == [(Lane.BULK, DropReason.DEADLINE_PASSED)]


async def test_an_organisation_may_have_as_much_of_a_lane_as_is_left_free(bench: Bench) -> None:
    bench.add(*[50] * 4)
    assert bench.queue.excess(Lane.BULK, "a", 50) == 0
    bench.add(50)
    assert bench.queue.excess(Lane.BULK, "a", 1) == 1
    assert bench.queue.excess(Lane.BULK, "b", 250) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 100)), max_size=200))
async def test_somebody_new_always_finds_room_and_the_lane_never_holds_more_than_its_bound(calls: list[tuple[str, int]]) -> None:
    bench = Bench(BatchLimits(100, 1_000, queue_tokens=1_000))
    for organisation, tokens in calls:
        if not bench.queue.excess(Lane.BULK, organisation, tokens):
            bench.add(tokens, organisation=organisation)
        assert bench.queue.excess(Lane.BULK, "new", 1) == 0 or bench.queue.queued_tokens(Lane.BULK) >= 1_000
        assert bench.queue.queued_tokens(Lane.BULK) < 1_000 + 100


async def test_bulk_work_never_fills_the_interactive_lane(bench: Bench) -> None:
    bench.add(*[50] * 10)
    assert bench.queue.excess(Lane.INTERACTIVE, "a", 500) == 0


async def test_who_has_nothing_in_a_lane_may_bring_a_call_of_any_size(bench: Bench) -> None:
    bench.add(50, organisation="b")
    assert bench.queue.excess(Lane.BULK, "a", 10**9) == 0


async def test_room_that_is_held_counts_until_it_is_given_back(bench: Bench) -> None:
    bench.queue.hold(Lane.BULK, "a", 300)
    assert bench.queue.excess(Lane.BULK, "a", 10) == 110
    assert bench.drops.tokens[Lane.BULK] == 300
    bench.queue.hold(Lane.BULK, "a", -300)
    assert bench.queue.excess(Lane.BULK, "a", 500) == 0


async def test_organisations_get_as_many_tokens_whatever_the_length_of_their_texts() -> None:
    bench = Bench(BatchLimits(batch_tokens=100, window_tokens=640, queue_tokens=10**6))
    bench.add(*[100] * 50, organisation="long")
    bench.add(*[5] * 1_000, organisation="short")
    tokens = {"long": 0, "short": 0}
    while sum(tokens.values()) < 4_000:
        for item in bench.queue.next_batch():
            tokens[item.organisation_id] += item.cost
    assert abs(tokens["long"] - tokens["short"]) <= 640


async def test_tokens_leave_the_count_when_their_texts_leave_the_queue(bench: Bench) -> None:
    items = bench.add(30, 40, 50)
    items[1].future.cancel()
    while bench.queue.next_batch():
        pass
    assert bench.queue.queued_tokens(Lane.BULK) == 0
    assert bench.drops.tokens[Lane.BULK] == 0


async def test_draining_takes_out_what_waits_in_every_lane_and_window(bench: Bench) -> None:
    bulk = bench.add(60, 60, 60)
    interactive = bench.add(5, lane=Lane.INTERACTIVE)
    assert bench.lengths() == [5]
    (taken,) = bench.queue.next_batch()
    assert set(bench.queue.drain()) == set(bulk) - {taken}
    assert interactive[0] not in bench.queue.drain()
    assert bench.queue.next_batch() == []


@given(
    st.lists(st.tuples(st.integers(1, 300), st.sampled_from(Lane), st.sampled_from("abc")), max_size=80),
    st.integers(16, 400),
    st.integers(16, 2_000),
)
async def test_every_text_leaves_exactly_once_in_a_batch_within_the_budget(
    texts: list[tuple[int, Lane, str]], batch_tokens: int, window_tokens: int
) -> None:
    bench = Bench(BatchLimits(batch_tokens, window_tokens, 10**9))
    added = [bench.add(length, lane=lane, organisation=organisation)[0] for length, lane, organisation in texts]
    taken: list[Item[str]] = []
    while batch := bench.queue.next_batch():
        longest = max(item.cost for item in batch)
        assert len(batch) == 1 or longest * len(batch) <= batch_tokens
        assert [item.cost for item in batch] == sorted(item.cost for item in batch)
        assert len({item.lane for item in batch}) == 1
        taken += batch
    assert sorted(map(id, taken)) == sorted(map(id, added))


async def test_no_batch_has_more_texts_than_the_limit() -> None:
    bench = Bench(BatchLimits(batch_tokens=100, window_tokens=1_000, queue_tokens=500, batch_texts=3))
    bench.add(*[2] * 7)
    assert [bench.lengths() for _ in range(3)] == [[2, 2, 2], [2, 2, 2], [2]]


async def test_a_batch_taken_back_goes_ahead_of_its_lane_but_behind_what_is_urgent(bench: Bench) -> None:
    bench.add(20, 30)
    batch = bench.queue.next_batch()
    bench.add(10, lane=Lane.INTERACTIVE)
    bench.add(90)
    bench.queue.take_back(batch)
    assert bench.drops.tokens[Lane.BULK] == 140
    assert [bench.lengths() for _ in range(3)] == [[10], [20, 30], [90]]
    assert bench.drops.tokens == {Lane.INTERACTIVE: 0, Lane.BULK: 0}


async def test_of_a_batch_taken_back_only_what_somebody_waits_for_is_kept(bench: Bench) -> None:
    items = [*bench.add(10), *bench.add(20, deadline=5.0), *bench.add(30)]
    batch = bench.queue.next_batch()
    items[0].future.cancel()
    bench.clock.now = 6.0
    bench.queue.take_back(batch)
    assert bench.lengths() == [30]
    assert sorted(bench.drops.reasons) == [(Lane.BULK, DropReason.CALLER_LEFT), (Lane.BULK, DropReason.DEADLINE_PASSED)]
    with pytest.raises(AppError, match="DEADLINE_PASSED_IN_QUEUE"):
        items[1].future.result()


async def test_who_came_too_late_is_told_without_a_batch_being_cut(bench: Bench) -> None:
    late, kept = bench.add(20, organisation="a", deadline=5.0) + bench.add(30, organisation="b")
    bench.clock.now = 6.0
    bench.queue.drop_unwanted()
    assert (late.future.done(), kept.future.done()) == (True, False)
    assert bench.drops.tokens[Lane.BULK] == 30
    assert bench.queue.excess(Lane.BULK, "a", 400) == 0
    assert bench.lengths() == [30]
    with pytest.raises(AppError, match="DEADLINE_PASSED_IN_QUEUE"):
        late.future.result()
