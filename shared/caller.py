"""Who a call is made for."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made.

    Attributes:
        organisation_id: what every read and write is scoped to.
        subject: ``key:<id>``, ``user:<id>`` or ``service:<name>``.
        principals: whose access sets may be read.
    """

    organisation_id: str
    subject: str
    principals: tuple[str, ...] = ()

    @property
    def is_service(self) -> bool:
        """Whether a service acts of its own accord, and not for somebody."""
        return self.subject.startswith("service:")


_current: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The verified caller of the RPC being handled.

    Raises:
        LookupError: called outside of an RPC.
    """
    return _current.get()


def set_current_caller(caller: Caller) -> None:
    _current.set(caller)
