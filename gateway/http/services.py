"""What routes call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from gateway.domain.accounts import Accounts
from gateway.domain.ask import Ask
from gateway.domain.assistants import Assistants
from gateway.domain.authentication import Authenticator
from gateway.domain.chats.answering import Answering
from gateway.domain.chats.chats import Chats
from gateway.domain.chats.exchanges import Exchanges
from gateway.domain.chats.messages import Messages
from gateway.domain.collections import Collections
from gateway.domain.document_filter import DocumentFilter
from gateway.domain.documents import Documents
from gateway.domain.embeddings import Embedder
from gateway.domain.idempotency import Idempotency
from gateway.domain.jobs import Jobs
from gateway.domain.models import EmbeddingModels
from gateway.domain.organisation_models import OrganisationModels
from gateway.domain.passages import Passages
from gateway.domain.providers import Providers
from gateway.domain.questions import Questions
from gateway.domain.readiness import Readiness
from gateway.domain.reconcile import Reconciler
from gateway.domain.reindex import Reindexing
from gateway.domain.search import Search
from gateway.domain.search_history import SearchHistory
from gateway.domain.user_settings import ChosenSettings
from gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Conversations:
    """What chats are made of."""

    chats: Chats
    messages: Messages
    exchanges: Exchanges
    answering: Answering
    settings: ChosenSettings


@dataclass(frozen=True, slots=True)
class Services:
    """The domain behind the routes; ``stopping`` is set when the server is about to end."""

    settings: GatewaySettings
    accounts: Accounts
    authenticator: Authenticator
    collections: Collections
    documents: Documents
    document_filter: DocumentFilter
    jobs: Jobs
    passages: Passages
    search: Search
    search_history: SearchHistory
    reconciler: Reconciler
    reindexing: Reindexing
    ask: Ask
    assistants: Assistants
    questions: Questions
    embedder: Embedder
    embedding_models: EmbeddingModels
    language_models: OrganisationModels
    providers: Providers
    conversations: Conversations
    readiness: Readiness
    idempotency: Idempotency
    stopping: asyncio.Event


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


CurrentServices = Annotated[Services, Depends(_services)]
