"""What calls in flight may hold together."""

from __future__ import annotations

import pytest

from ingestor.domain.intake import Memory
from shared.errors import AppError, Status


def test_more_than_there_is_room_for_is_refused_and_fits_when_others_are_done() -> None:
    memory = Memory(100)
    with memory.share() as take:
        take(60)
        with memory.share() as other:
            other(40)
            with pytest.raises(AppError) as raised:
                other(1)
            assert (raised.value.reason, raised.value.status) == ("INGESTOR_BUSY", Status.RESOURCE_EXHAUSTED)
            assert raised.value.retry_after_seconds
        take(40)
    with memory.share() as take:
        take(100)


def test_a_call_that_fails_gives_back_what_it_held() -> None:
    memory = Memory(100)
    with pytest.raises(ValueError, match="broken"), memory.share() as take:
        take(100)
        raise ValueError("broken")
    with memory.share() as take:
        take(100)
