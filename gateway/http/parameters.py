"""Query parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from gateway.domain.listing import PageRequest
from shared.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE


async def _page(
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many items to return at most.")] = DEFAULT_PAGE_SIZE,
    page_token: Annotated[
        str, Query(max_length=2000, description="`next_page_token` of the page before; leave it out for the first.")
    ] = "",
) -> PageRequest:
    return PageRequest(page_size, page_token)


CurrentPage = Annotated[PageRequest, Depends(_page)]
