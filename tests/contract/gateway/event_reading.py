"""Reading server-sent events as a client would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Names and data of the events; a comment counts as an event named ``:``."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield ":", line[1:].strip()
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def all_events(response: httpx.Response) -> list[tuple[str, Any]]:
    return [event async for event in events(response)]
