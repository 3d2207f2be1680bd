"""Errors of the laptop stack, each naming its fix."""

from __future__ import annotations


class LaptopError(Exception):
    """Something keeps the stack from starting, stopping or being read.

    Attributes:
        reason: stable UPPER_SNAKE code.
        message: what is wrong and how to mend it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
