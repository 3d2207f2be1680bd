"""What a job's numbers say of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingestor.domain.jobs import Job, JobKind, JobState, StageCount, StepTime, steps_of
from ingestor.domain.tasks import Stage, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(
    total: int,
    done: int,
    *,
    untouched: int = 0,
    worked: float = 0,
    remaining: float = 0,
    failed: int = 0,
    cancelled: int = 0,
    seconds: int | None = None,
) -> Job:
    return Job(
        job_id="j",
        collection_id="c",
        kind=JobKind.INGEST,
        create_time=NOW,
        total_count=total,
        done_count=done,
        untouched_count=untouched,
        remaining_bytes=remaining,
        worked_bytes=worked,
        failed_count=failed,
        cancelled_count=cancelled,
        embedded_count=0,
        reused_count=0,
        passage_count=0,
        stage=None if done == total else Stage.PARSE,
        elapsed=None if seconds is None else timedelta(seconds=seconds),
        last_end_time=NOW + timedelta(seconds=9) if done else None,
        failures=(),
        steps=(),
    )


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (job(2, 0, untouched=2), JobState.QUEUED),
        (job(2, 0, untouched=1), JobState.RUNNING),
        (job(2, 1, untouched=1, failed=1), JobState.RUNNING),
        (job(2, 2), JobState.SUCCEEDED),
        (job(2, 2, failed=1), JobState.FAILED),
        (job(2, 2, failed=1, cancelled=1), JobState.CANCELLED),
        (job(0, 0), JobState.SUCCEEDED),
    ],
)
def test_the_state_follows_from_the_tasks(one: Job, state: JobState) -> None:
    assert one.state is state
    assert one.ended == (state not in {JobState.QUEUED, JobState.RUNNING})


def test_a_job_ended_when_its_last_task_did() -> None:
    assert job(2, 1).end_time is None
    assert job(2, 2).end_time == NOW + timedelta(seconds=9)
    assert job(0, 0).end_time == NOW


def test_the_time_to_the_end_follows_from_the_measured_throughput() -> None:
    assert job(100, 20, worked=20, remaining=80, seconds=10).eta == timedelta(seconds=40)
    # Half of it was unchanged and took no time, which says nothing about the rest.
    assert job(100, 60, worked=10, remaining=40, seconds=10).eta == timedelta(seconds=40)
    # One large document of which a quarter is written.
    assert job(1, 0, worked=25, remaining=75, seconds=10).eta == timedelta(seconds=30)


@pytest.mark.parametrize("one", [job(2, 0, remaining=2, seconds=5), job(2, 1, remaining=1, worked=1), job(2, 2, worked=2, seconds=5)])
def test_no_time_is_promised_while_nothing_is_known_or_nothing_is_left(one: Job) -> None:
    assert one.eta is None


def test_a_document_in_a_later_stage_is_done_with_the_steps_before() -> None:
    counts = [StageCount(Stage.PARSE, 3, 2, 0, 1), StageCount(Stage.INDEX, 4, 1, 0, 0), StageCount(Stage.PUBLISH, 0, 0, 10, 0)]
    parsing = StepTime(Step.PARSE, 1.5, NOW, NOW + timedelta(seconds=9))
    steps = steps_of(counts, [parsing])
    assert [(one.step, one.waiting, one.running, one.done, one.failed) for one in steps] == [
        (Step.PARSE, 3, 2, 15, 1),
        (Step.CHUNK, 3, 2, 15, 1),
        (Step.EMBED, 4, 1, 10, 0),
    ]
    assert [one.time for one in steps] == [parsing, None, None]


def test_steps_that_no_document_takes_are_left_out() -> None:
    assert steps_of([], []) == ()
    assert [one.step for one in steps_of([StageCount(Stage.PURGE, 0, 1, 0, 0)], [])] == [Step.PURGE]
