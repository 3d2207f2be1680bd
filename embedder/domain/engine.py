"""How a model is run: which encoder serves which lane, and how each is kept busy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from embedder.domain.back_end import BackEnd
from embedder.domain.encoding import Encoder
from shared.errors import AppError


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One encoder on its device.

    Attributes:
        encoder: runs the batches.
        streams: how many threads may be in `Encoder.encode_core` at once, each with a batch of its own.
        device_threads: the device's own, shared by all engines on it, whose batches take turns there in the order of their coming; None:
            the engine gets threads to itself. An engine gives out one batch more than it has streams, so urgent work waits behind two
            batches of each other model on the device at most.
    """

    encoder: Encoder[Any, Any]
    streams: int = 1
    device_threads: Executor | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """What runs one model's lanes.

    Attributes:
        interactive: for texts that somebody waits for.
        bulk: for the rest. The same object where both lanes share a device.
        precision: what the multiplications are done in: ``fp32``, ``bf16`` or ``int8``.
    """

    interactive: Engine
    bulk: Engine
    precision: str

    @classmethod
    def shared(cls, encoder: Encoder[Any, Any], precision: str, device_threads: Executor | None = None) -> Engines:
        """One device for both lanes, which runs one batch after the other."""
        engine = Engine(encoder, device_threads=device_threads)
        return cls(engine, engine, precision)


async def _tell_nobody(_: AppError | None) -> None:
    """What a remote engine tells before somebody listens."""


@dataclass(slots=True, eq=False)
class RemoteEngine:
    """Another server that runs the model for both lanes.

    Attributes:
        back_end: the server.
        dimension: elements that its vectors must have.
        requests: how many may be on their way at once.
        tell: awaited with the reason when the server cannot be used any more, and with None when it can again.
    """

    back_end: BackEnd
    dimension: int
    requests: int
    tell: Callable[[AppError | None], Awaitable[None]] = _tell_nobody
    precision: str = ""


ModelEngines = Engines | RemoteEngine
