"""A conversation that nobody keeps: what was said before the next question, within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.domain.ask import Role, Turn

MAX_EXCHANGES: Final = 50
MAX_CHARACTERS: Final = 200_000


class Conversation:
    """The newest exchanges; older ones are forgotten where there are too many or they are too long."""

    def __init__(self) -> None:
        self._exchanges: deque[tuple[Turn, Turn]] = deque(maxlen=MAX_EXCHANGES)

    @property
    def turns(self) -> Sequence[Turn]:
        """Oldest first."""
        return [turn for exchange in self._exchanges for turn in exchange]

    def add(self, question: str, answer: str) -> None:
        self._exchanges.append((Turn(Role.USER, question), Turn(Role.ASSISTANT, answer)))
        while sum(len(turn.text) for turn in self.turns) > MAX_CHARACTERS:
            self._exchanges.popleft()

    def clear(self) -> None:
        self._exchanges.clear()
