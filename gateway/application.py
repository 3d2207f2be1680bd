"""The HTTP application: its routes, and what stands before them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from gateway.http import openapi, problems
from gateway.http.admission import AddressMiddleware, BodyLimitMiddleware, ConcurrencyMiddleware
from gateway.http.authentication import AuthenticationMiddleware
from gateway.http.mcp_endpoint import McpEndpoint
from gateway.http.problems import ProblemMiddleware
from gateway.http.request_context import RequestContextMiddleware
from gateway.routes import (
    accounts,
    ask,
    ask_socket,
    assistants,
    chat_completions,
    chats,
    collections,
    document_filter,
    documents,
    embeddings,
    jobs,
    messages,
    models,
    openai_models,
    passages,
    providers,
    reconcile,
    reindex,
    search,
    search_history,
    system,
)
from gateway.settings import GatewaySettings
from shared.errors import AppError

_ROUTERS = (
    search,
    search_history,
    document_filter,
    ask,
    ask_socket,
    assistants,
    chats,
    messages,
    collections,
    documents,
    jobs,
    passages,
    models,
    providers,
    embeddings,
    chat_completions,
    openai_models,
    reconcile,
    reindex,
    accounts,
    system,
)


class Application(FastAPI):
    """FastAPI with an OpenAPI document that is true."""

    def openapi(self) -> dict[str, Any]:
        return openapi.document(self)


def create_app(settings: GatewaySettings) -> Application:
    """The application, without its services: set ``app.state.services`` before it serves."""
    app = Application(
        title="Lectern",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        # From the outside in: what comes first sees everything, what comes last only what was let in.
        middleware=[
            Middleware(RequestContextMiddleware, process_context=structlog.contextvars.get_contextvars()),
            Middleware(ProblemMiddleware),
            Middleware(ConcurrencyMiddleware, limits=settings.limits),
            Middleware(AddressMiddleware),
            Middleware(AuthenticationMiddleware),
            Middleware(BodyLimitMiddleware, limits=settings.limits, idle_seconds=settings.timeouts.body_seconds),
        ],
        exception_handlers=dict.fromkeys((AppError, RequestValidationError, HTTPException), problems.handle),
    )
    for routes in _ROUTERS:
        app.include_router(routes.router)
    app.state.mcp = McpEndpoint(app.version)
    app.add_route("/mcp", app.state.mcp, include_in_schema=False)
    return app


def _version() -> str:
    try:
        return version("lectern")
    except PackageNotFoundError:
        return "0"
