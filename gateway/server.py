"""Composition root: what is behind which port, and the life of the HTTP server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from gateway import migrations
from gateway.adapters.accounts import PostgresAccounts
from gateway.adapters.answers import GeneratorAnswers
from gateway.adapters.assistant_file import OWN_FILE, read_assistants
from gateway.adapters.assistants import PostgresAssistants
from gateway.adapters.chats import PostgresChats, PostgresUserSettings
from gateway.adapters.collections import IngestorCollections
from gateway.adapters.database import open_pool
from gateway.adapters.documents import IngestorDocuments
from gateway.adapters.embeddings import RemoteEmbedder
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.health import PeerHealth
from gateway.adapters.index import EmbedderIndex
from gateway.adapters.jobs import IngestorJobs
from gateway.adapters.messages import PostgresMessages
from gateway.adapters.passages import IngestorPassages
from gateway.adapters.providers import PostgresProviders
from gateway.adapters.reconcile import IngestorReconciler
from gateway.adapters.reindex import IngestorRebuilds
from gateway.adapters.replies import PostgresReplies
from gateway.adapters.search_history import PostgresSearchHistory
from gateway.application import Application, create_app
from gateway.domain.accounts import Accounts
from gateway.domain.ask import Ask
from gateway.domain.assistants import Assistants
from gateway.domain.authentication import Authenticator
from gateway.domain.chats.answering import Answering
from gateway.domain.chats.chats import Chats
from gateway.domain.chats.exchanges import Exchanges
from gateway.domain.chats.messages import Messages
from gateway.domain.chats.titles import ChatTitles
from gateway.domain.document_filter import DocumentFilter
from gateway.domain.idempotency import Idempotency
from gateway.domain.organisation_models import OrganisationModels
from gateway.domain.providers import Providers
from gateway.domain.questions import Questions
from gateway.domain.readiness import PROBE_SECONDS, Readiness
from gateway.domain.reindex import Reindexing
from gateway.domain.search import Search
from gateway.domain.search_history import SearchHistory
from gateway.domain.user_settings import ChosenSettings
from gateway.http.listener import listening
from gateway.http.services import Conversations, Services
from gateway.settings import GatewaySettings
from shared.paging import PageTokens
from shared.postgres import Pool
from shared.rpc.caller_signing import CallerSigner
from shared.rpc.channel import open_channel

log = structlog.get_logger()
_ANSWERS_SHARE_OF_DRAIN = 0.75


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers at ``url``."""

    url: str
    app: Application


@asynccontextmanager
async def serve(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    """Serve until the context is left; then requests in work get ``timeouts.drain_seconds`` to end.

    Raises:
        AppError: DATABASE_SCHEMA_OUTDATED, or ACCOUNT_STORE_UNAVAILABLE when the database cannot be reached.
        OSError: the address is taken or not of this machine.
    """
    async with AsyncExitStack() as stack:
        app = create_app(settings)
        app.state.services = services = await _open_services(settings, stack)
        await _bootstrap(settings, services.accounts)
        await stack.enter_async_context(_running(services.idempotency.prune_for_ever()))
        await stack.enter_async_context(_running(services.conversations.chats.prune_for_ever()))
        await stack.enter_async_context(services.conversations.answering.open())
        await stack.enter_async_context(app.state.mcp.open())
        await stack.enter_async_context(services.search_history.open())
        port = await stack.enter_async_context(listening(app, settings.listen, settings.timeouts.drain_seconds))
        host = settings.listen.rpartition(":")[0]
        log.info("gateway_started", host=host, port=port)
        try:
            yield RunningGateway(f"http://{host}:{port}", app)
        finally:
            services.stopping.set()
            # Answers that are still being written end in time for their readers to hear of it.
            drain_seconds = settings.timeouts.drain_seconds
            asyncio.get_running_loop().call_later(drain_seconds * _ANSWERS_SHARE_OF_DRAIN, services.conversations.answering.fail_all)


@asynccontextmanager
async def _running(upkeep: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run ``upkeep`` beside what is inside."""
    task = asyncio.create_task(upkeep)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _open_services(settings: GatewaySettings, stack: AsyncExitStack) -> Services:
    key = settings.internal_key.get_secret_value().encode()
    timeouts = settings.timeouts
    pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value(), settings.database_connections))
    store = PostgresAccounts(pool)
    await store.require_schema(migrations.HEAD, migrations.UPGRADE_COMMAND)
    ingestor, embedder, generator = [
        await stack.enter_async_context(open_channel(target, CallerSigner(key)))
        for target in (settings.ingestor_target, settings.embedder_target, settings.generator_target)
    ]
    authenticator = Authenticator(store, settings.key_cache_seconds)
    tokens = PageTokens(_derived(key, b"page tokens of the gateway"))
    library = IngestorCollections(ingestor, timeouts.rpc_seconds)
    documenting = IngestorDocuments(ingestor, timeouts.rpc_seconds, timeouts.upload_seconds)
    pieces = IngestorPassages(ingestor, timeouts.rpc_seconds)
    index = EmbedderIndex(embedder, timeouts.rpc_seconds)
    answers = GeneratorAnswers(generator, timeouts.rpc_seconds, timeouts.answer_seconds)
    searching = Search(index, pieces, library)
    assisting = PostgresAssistants(pool)
    await assisting.replace_built_in(await asyncio.to_thread(read_assistants, settings.assistants_file or OWN_FILE))
    sealing = settings.key_encryption_keys() or {"internal": _derived(key, b"secrets of organisations")}
    providing = PostgresProviders(pool, Envelopes(sealing))
    if resealed := await providing.reseal():
        log.info("provider_keys_resealed", count=resealed)
    language_models = OrganisationModels(answers, providing)
    asked = Assistants(assisting, library, language_models, tokens)
    questions = Questions(asked, language_models)
    asking = Ask(searching, answers)
    peers = {"ingestor": ingestor, "embedder": embedder, "generator": generator}
    probes = {name: PeerHealth(channel, PROBE_SECONDS).is_ready for name, channel in peers.items()}
    return Services(
        settings=settings,
        accounts=Accounts(store, authenticator, tokens),
        authenticator=authenticator,
        collections=library,
        documents=documenting,
        document_filter=DocumentFilter(documenting, library, tokens),
        jobs=IngestorJobs(ingestor, timeouts.rpc_seconds, timeouts.watch_seconds),
        passages=pieces,
        search=searching,
        search_history=SearchHistory(
            PostgresSearchHistory(pool), tokens, days=settings.search_history_days, entries=settings.search_history_entries
        ),
        reconciler=IngestorReconciler(ingestor, timeouts.watch_seconds),
        reindexing=Reindexing(IngestorRebuilds(ingestor, timeouts.rpc_seconds, timeouts.watch_seconds)),
        ask=asking,
        assistants=asked,
        questions=questions,
        embedder=RemoteEmbedder(embedder, timeouts.embed_seconds),
        embedding_models=index,
        language_models=language_models,
        providers=Providers(providing, tokens),
        conversations=_conversations(
            settings, pool, tokens=tokens, assistants=asked, questions=questions, pieces=pieces, asking=asking, answers=answers
        ),
        readiness=Readiness({"accounts": store.is_ready, **probes}),
        idempotency=Idempotency(PostgresReplies(pool, _derived(key, b"kept replies of the gateway"))),
        stopping=asyncio.Event(),
    )


def _conversations(
    settings: GatewaySettings,
    pool: Pool,
    *,
    tokens: PageTokens,
    assistants: Assistants,
    questions: Questions,
    pieces: IngestorPassages,
    asking: Ask,
    answers: GeneratorAnswers,
) -> Conversations:
    chatting, telling, choosing = PostgresChats(pool), PostgresMessages(pool), PostgresUserSettings(pool)
    chats = Chats(chatting, assistants, choosing, tokens)
    messages = Messages(telling, chats, pieces, tokens)
    titles = ChatTitles(answers, chatting)
    return Conversations(
        chats=chats,
        messages=messages,
        exchanges=Exchanges(telling, chats, questions, choosing, settings.ask_passages),
        answering=Answering(telling, chats, messages, asking, titles, resume_seconds=settings.timeouts.resume_seconds),
        settings=ChosenSettings(choosing, assistants),
    )


async def _bootstrap(settings: GatewaySettings, managing: Accounts) -> None:
    if settings.bootstrap_api_key is None:
        return
    if created := await managing.bootstrap(settings.bootstrap_api_key.get_secret_value()):
        log.info("first_organisation_created", organisation_id=created.organisation_id)


def _derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose, so that what is signed for another means nothing here."""
    return hmac.new(key, purpose, hashlib.sha256).digest()
