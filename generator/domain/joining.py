"""Makes one of the pieces of a text that are there at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from generator.domain.language_model import ModelFinished, ModelText


async def joined(pieces: AsyncGenerator[ModelText | ModelFinished, None]) -> AsyncGenerator[ModelText | ModelFinished, None]:
    """``pieces``, with all text that has come since the last one taken in one.

    Nothing is waited for and nothing held back: what a model writes slower than its reader reads is passed on piece by piece, and what
    piles up behind a busy reader is one piece for him. ``pieces`` is closed with this iterator, and its errors are raised after its text.
    """
    arrived: list[ModelText | ModelFinished] = []
    news = asyncio.Event()

    async def take_in() -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    arrived.append(piece)
                    news.set()
        finally:
            news.set()

    taking_in = asyncio.create_task(take_in())
    try:
        while not taking_in.done() or arrived:
            await news.wait()
            news.clear()
            taken, arrived[:] = arrived[:], []
            if text := "".join(piece.text for piece in taken if isinstance(piece, ModelText)):
                yield ModelText(text)
            for piece in taken:
                if isinstance(piece, ModelFinished):
                    yield piece
        taking_in.result()
    finally:
        taking_in.cancel()
        await asyncio.wait([taking_in])
        if not taking_in.cancelled():
            taking_in.exception()
