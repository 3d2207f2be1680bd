"""Many readers at once, with gateway and generator as processes; the full measure is `python bench/answer_streams.py`."""

from __future__ import annotations

from pathlib import Path

from bench.answer_streams import measure
from bench.streaming import running
from gateway.migrations import FOLDER, SCHEMA
from shared.migrations import Migrations

TOKENS = 20


async def test_every_reader_gets_every_token_once_and_readers_who_leave_leave_nothing_running(database_url: str, tmp_path: Path) -> None:
    await Migrations(SCHEMA, FOLDER).upgrade(database_url)
    with running(database_url, tmp_path, tokens=TOKENS, tokens_per_second=20) as stack:
        report = await measure(stack, streams=20, tokens=TOKENS, ramp_seconds=0.5, cancelled=50)
    assert (report.tokens, report.wrong_streams) == (20 * TOKENS, 0)
    assert set(report.left_running.values()) == {0}
    # A connection to each of fifty that left would show; the pools of the two services may grow by a few.
    assert all(report.files_after[name] - before < 25 for name, before in report.files_before.items())
