"""A server that embeds for us: what is asked of it, and the ways in which it may fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from embedder.domain.encoding import Vectors
from shared.errors import AppError


@dataclass(frozen=True, slots=True)
class CountedText:
    """A text for the server, and how many tokens it is thought to have there; that is its length."""

    text: str
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class BackEndBusy(Exception):  # noqa: N818  # named for what happened
    """The server takes nothing for a while; the request was not done.

    Attributes:
        pause_seconds: how long it asks us to stay away; None when it did not say.
    """

    def __init__(self, pause_seconds: float | None) -> None:
        super().__init__("the server is busy")
        self.pause_seconds = pause_seconds


class BackEndUnreachable(Exception):  # noqa: N818  # named for what happened
    """No usable answer came: no connection, a cut one, none in time, or a failure of the server. The text says which."""


class BackEndRefused(Exception):  # noqa: N818  # named for what happened
    """The server, as it is set up, will not do what we ask, however often.

    Attributes:
        error: what callers are told, with the fix.
    """

    def __init__(self, error: AppError) -> None:
        super().__init__(error.message)
        self.error = error


class TextsRefused(Exception):  # noqa: N818  # named for what happened
    """The server does not like these texts, or answered what cannot be theirs; each alone may be right.

    Attributes:
        error: what the caller of a single text is told.
    """

    def __init__(self, error: AppError) -> None:
        super().__init__(error.message)
        self.error = error


class BackEnd(Protocol):
    """One model of a server that speaks over the network. For one event loop."""

    @property
    def name(self) -> str:
        """What requests call the model."""
        ...

    async def embed(self, texts: Sequence[CountedText]) -> Vectors:
        """Send one request, once. Cancelling it frees the connection.

        Shapes:
            returns: (texts, dimension), in their order.

        Raises:
            BackEndBusy, BackEndUnreachable, BackEndRefused, TextsRefused: as they say.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
