"""One page of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted.

    Attributes:
        size: between 1 and 1,000; 0 asks for the default.
        token: ``next_token`` of the page before; empty for the first.
    """

    size: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """A page.

    Attributes:
        items: in the list's own order.
        next_token: empty on the last page.
    """

    items: Sequence[Item]
    next_token: str
