"""What the batcher asks of whatever runs a model's batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from embedder.domain.batching import Item, Lane
from embedder.domain.encoding import Vectors
from shared.errors import AppError

# Until a batch was measured.
ASSUMED_TOKENS_PER_SECOND = 5_000.0
# Of the last batch in the average.
SPEED_WEIGHT = 0.1


class BatchPostponed(Exception):  # noqa: N818  # named for what happened
    """The batch was not run and nothing is wrong with it; those of its texts that somebody waits for are to be run later."""


class Line(Protocol):
    """Runs the batches of some lanes.

    Attributes:
        room: as many permits as there may be batches on the line.
        refusal: why it takes no texts for now; None while it does.
    """

    room: asyncio.Semaphore
    refusal: AppError | None

    @property
    def lanes(self) -> tuple[Lane, ...]: ...

    @property
    def dimension(self) -> int:
        """Elements that each vector must have."""
        ...

    @property
    def tokens_per_second(self) -> float:
        """What it did lately."""
        ...

    async def ready(self, within: float) -> bool:
        """Whether a batch may be given to it; waits for that, about ``within`` seconds at most."""
        ...

    async def encode(self, batch: Sequence[Item[Any]]) -> tuple[Vectors, float]:
        """The vectors, and how many seconds they took.

        Raises:
            EncoderFailed: the device is lost; the process should end.
            BatchPostponed: as it says.
            AppError: what all callers of the batch are to be told.
        """
        ...

    async def stop(self) -> None:
        """Give back what the line holds, without waiting for batches."""
        ...
