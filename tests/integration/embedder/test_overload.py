"""A few seconds of what `bench/overload.py` does for a minute."""

from __future__ import annotations

from bench.contenders import Service
from bench.overload import measure


async def test_ten_times_too_much_is_refused_fast_and_leaves_a_small_organisation_and_the_memory_in_peace() -> None:
    async with Service.running("minilm", QUEUE_TOKENS="20000") as service:
        report = await measure(service, seconds=2.0, times=10.0, interactive_share=0.1)
    assert report.refused > report.accepted / 10 > 0, report
    assert report.giants_refused > 0, report
    assert report.refused_without_retry_info == 0, report
    assert report.ended_otherwise == 0, report
    assert report.small_refused == 0, report
    assert report.refusal_p50_ms < 50, report
    assert report.rss_peak_mib - report.rss_before_mib < 400, report
