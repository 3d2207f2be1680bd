from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedder.adapters.cores import available_cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 1), ("50000 100000", 1), ("100000000 100000", None), ("max 100000", None), ("nonsense", None), (None, None)],
)
def test_a_containers_cpu_limit_counts_and_nothing_else_does(quota: str | None, expected: int | None, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    assert available_cores(file) == (expected or len(os.sched_getaffinity(0)))
