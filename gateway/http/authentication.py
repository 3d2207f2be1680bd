"""Who is calling: checked for every route of the API before anything of the request is read."""

from __future__ import annotations

from typing import Annotated, Final

import structlog
from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.accounts import Principal
from gateway.domain.authentication import Authenticator
from gateway.errors import unauthenticated
from shared.caller import Caller, set_current_caller

# Everything under these needs a key, also routes that are yet to come.
PROTECTED: Final = ("/api/", "/v1/", "/mcp")


class AuthenticationMiddleware:
    """Sets the principal of the request and the caller of the RPCs that it leads to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises AppError API_KEY_MISSING or API_KEY_INVALID."""
        if scope["type"] == "http" and scope["path"].startswith(PROTECTED):
            authenticator: Authenticator = scope["app"].state.services.authenticator
            principal = await authenticator.authenticate(_bearer(Headers(scope=scope)))
            act_for(principal)
            structlog.contextvars.bind_contextvars(organisation_id=principal.organisation_id, api_key_id=principal.api_key_id)
            scope["state"]["principal"] = principal
        await self._app(scope, receive, send)


def act_for(principal: Principal) -> None:
    """Make the RPCs of the current task those of ``principal``."""
    set_current_caller(Caller(principal.organisation_id, f"key:{principal.api_key_id}"))


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("API_KEY_MISSING", "Send your API key in the header `Authorization: Bearer lk_…`.")
    return token.strip()


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


CurrentPrincipal = Annotated[Principal, Depends(_principal)]
