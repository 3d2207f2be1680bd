"""Pieces of a text that are there at the same time travel together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from generator.domain.joining import joined
from generator.domain.language_model import FinishReason, ModelFinished, ModelText
from shared.errors import AppError, Status

END = ModelFinished(FinishReason.STOP)


class Model:
    """Writes what it is given, each list at once and the next only when it is let go on."""

    def __init__(self, *bursts: list[str], fails: bool = False) -> None:
        self.bursts = bursts
        self.fails = fails
        self.go_on = asyncio.Event()
        self.closed = False

    async def pieces(self) -> AsyncGenerator[ModelText | ModelFinished, None]:
        try:
            for burst in self.bursts:
                for text in burst:
                    yield ModelText(text)
                await self.go_on.wait()
                self.go_on.clear()
            if self.fails:
                raise AppError("MODEL_STREAM_CUT", Status.UNAVAILABLE, "Cut.")
            yield END
        finally:
            self.closed = True


async def test_what_is_there_at_once_is_one_piece_and_what_comes_later_another() -> None:
    model = Model(["a", "b", "c"], ["d"], ["e", "f"])
    taken = []
    async for piece in joined(model.pieces()):
        taken.append(piece)
        model.go_on.set()
    assert taken == [ModelText("abc"), ModelText("d"), ModelText("ef"), END]


async def test_text_that_is_there_does_not_wait_for_more() -> None:
    model = Model(["a"], ["b"])
    pieces = joined(model.pieces())
    assert await asyncio.wait_for(anext(pieces), timeout=20) == ModelText("a")
    await pieces.aclose()
    assert model.closed


async def test_an_error_comes_after_the_text_before_it() -> None:
    model = Model(["a", "b"], fails=True)
    pieces = joined(model.pieces())
    assert await anext(pieces) == ModelText("ab")
    model.go_on.set()
    with pytest.raises(AppError, match="MODEL_STREAM_CUT"):
        await anext(pieces)
    assert model.closed


async def test_a_reader_who_is_cancelled_closes_the_model() -> None:
    model = Model(["a"])
    pieces = joined(model.pieces())
    await anext(pieces)
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await pieces.aclose()
    assert model.closed
