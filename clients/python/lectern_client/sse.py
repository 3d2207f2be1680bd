"""Server-sent events, read from bytes as they come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Nothing else ends a line: `str.splitlines` would also cut at U+2028 and others, which may stand inside of JSON.
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``name`` is ``message`` where the server gave none, ``id`` the last one that it gave."""

    name: str
    data: str
    id: str = ""


class EventParser:
    """Turns the bytes of an event stream into events, however they were cut on the way.

    Source: the HTML standard, "Server-sent events", section 9.2.6. Retry times are not used by the protocol and are skipped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take in ``chunk`` and give the events that it completes."""
        pending = self._rest + chunk
        start = 0
        for end in _LINE_END.finditer(pending):
            if end.group() == b"\r" and end.end() == len(pending):
                break  # the other half of a line end may follow
            event = self._take(pending[start : end.start()].decode())
            start = end.end()
            if event is not None:
                yield event
        self._rest = pending[start:]

    def _take(self, line: str) -> Event | None:
        if not line:
            event = Event(self._name or "message", "\n".join(self._data), self._id) if self._data else None
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value
        return None
