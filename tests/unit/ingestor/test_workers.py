from itertools import pairwise

import pytest

from ingestor.domain.tasks import Stage
from ingestor.workers import PORTIONS, portions


@pytest.mark.parametrize("workers", range(2, 9))
def test_workers_that_begin_together_do_not_end_together(workers: int) -> None:
    sizes = [portion.max_tasks for portion in portions(Stage.INDEX, workers)]
    assert sizes[0] == PORTIONS[Stage.INDEX].max_tasks
    assert min(sizes) >= sizes[0] / 2
    assert all(later - earlier >= sizes[0] / (4 * workers) for earlier, later in pairwise(sorted(sizes)))


def test_a_worker_always_takes_something() -> None:
    assert all(
        portion.max_tasks >= 1 and portion.max_weight >= 1 for stage in Stage if stage in PORTIONS for portion in portions(stage, 64)
    )
