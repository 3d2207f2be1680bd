"""The library and the gateway say the same: every route has a method, every shape has the same fields."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import BaseModel

from gateway.application import create_app
from gateway.settings import GatewaySettings
from lectern_client import ApiError, Lectern, RetryPolicy, models
from lectern_client.models import JobDocument, JobStep
from tests.unit.client.conftest import KEY, Gateway

CHAT, MESSAGE, CHAT_FOLDER, ASSISTANT, PROVIDER, COLLECTION, DOCUMENT, JOB, PASSAGE, ORGANISATION, API_KEY, SEARCH = (
    "{chat}",
    "{message}",
    "{folder}",
    "{assistant}",
    "{provider}",
    "{collection}",
    "{document}",
    "{job}",
    "{passage}",
    "{organisation}",
    "{api_key}",
    "{search}",
)
METHODS: list[Callable[[Lectern], object]] = [
    lambda lectern: lectern.search("x"),
    lambda lectern: lectern.ask("x"),
    lambda lectern: list(lectern.ask_stream("x")),
    lambda lectern: list(lectern.search_history.list()),
    lambda lectern: lectern.search_history.delete(SEARCH),
    lambda lectern: lectern.search_history.clear(),
    lambda lectern: lectern.passage(PASSAGE),
    lambda lectern: lectern.embedding_models(),
    lambda lectern: lectern.language_models(),
    lambda lectern: lectern.assistants.create("x"),
    lambda lectern: lectern.assistants.get(ASSISTANT),
    lambda lectern: list(lectern.assistants.list()),
    lambda lectern: lectern.assistants.update(ASSISTANT, prompt="y"),
    lambda lectern: lectern.assistants.delete(ASSISTANT),
    lambda lectern: lectern.set_default_model("x"),
    lambda lectern: lectern.providers.create("x", "http://y", ["z"]),
    lambda lectern: lectern.providers.get(PROVIDER),
    lambda lectern: list(lectern.providers.list()),
    lambda lectern: lectern.providers.update(PROVIDER, models=["y"]),
    lambda lectern: lectern.providers.delete(PROVIDER),
    lambda lectern: lectern.chats.create(),
    lambda lectern: lectern.chats.get(CHAT),
    lambda lectern: list(lectern.chats.list()),
    lambda lectern: lectern.chats.update(CHAT, title="y"),
    lambda lectern: lectern.chats.delete(CHAT),
    lambda lectern: list(lectern.chats.messages(CHAT)),
    lambda lectern: lectern.chats.message(CHAT, MESSAGE),
    lambda lectern: lectern.chats.send(CHAT, "x"),
    lambda lectern: list(lectern.chats.stream(CHAT, "x")),
    lambda lectern: lectern.chats.regenerate(CHAT, MESSAGE),
    lambda lectern: list(lectern.chats.regenerate_stream(CHAT, MESSAGE)),
    lambda lectern: list(lectern.chats.watch(CHAT, MESSAGE)),
    lambda lectern: lectern.chats.stop(CHAT, MESSAGE),
    lambda lectern: lectern.chats.rate(CHAT, MESSAGE, "up"),
    lambda lectern: lectern.folders.create("x"),
    lambda lectern: lectern.folders.get(CHAT_FOLDER),
    lambda lectern: list(lectern.folders.list()),
    lambda lectern: lectern.folders.rename(CHAT_FOLDER, "y"),
    lambda lectern: lectern.folders.delete(CHAT_FOLDER),
    lambda lectern: lectern.settings.get(),
    lambda lectern: lectern.settings.update(retention_days=7),
    lambda lectern: lectern.collections.create("x"),
    lambda lectern: lectern.collections.get(COLLECTION),
    lambda lectern: list(lectern.collections.list()),
    lambda lectern: lectern.collections.update(COLLECTION, name="y"),
    lambda lectern: lectern.collections.delete(COLLECTION),
    lambda lectern: lectern.documents.create(COLLECTION, text="x"),
    lambda lectern: lectern.documents.create_batch(COLLECTION, [{"text": "x"}]),
    lambda lectern: list(lectern.documents.list(COLLECTION)),
    lambda lectern: list(lectern.documents.filter("type:pdf")),
    lambda lectern: lectern.documents.get(DOCUMENT),
    lambda lectern: lectern.documents.update(DOCUMENT, name="y"),
    lambda lectern: lectern.documents.delete(DOCUMENT),
    lambda lectern: lectern.documents.deletion_receipt(DOCUMENT),
    lambda lectern: lectern.jobs.get(JOB),
    lambda lectern: list(lectern.jobs.list()),
    lambda lectern: list(lectern.jobs.documents(JOB)),
    lambda lectern: list(lectern.jobs.watch(JOB)),
    lambda lectern: lectern.jobs.cancel(JOB),
    lambda lectern: lectern.jobs.retry(JOB),
    lambda lectern: list(lectern.reconcile()),
    lambda lectern: list(lectern.reindex()),
    lambda lectern: lectern.organisations.create("x"),
    lambda lectern: lectern.organisations.get(ORGANISATION),
    lambda lectern: list(lectern.organisations.list()),
    lambda lectern: lectern.api_keys.create("x"),
    lambda lectern: list(lectern.api_keys.list()),
    lambda lectern: lectern.api_keys.revoke(API_KEY),
]
SHAPES: dict[str, type[BaseModel]] = {
    "Chat": models.Chat,
    "Folder": models.Folder,
    "Message": models.Message,
    "MessageCitation": models.MessageCitation,
    "MessageExchange": models.MessageExchange,
    "AnswerMetadata": models.AnswerMetadata,
    "Feedback": models.Feedback,
    "UserSettings": models.UserSettings,
    "Assistant": models.Assistant,
    "Collection": models.Collection,
    "CollectionDeleted": models.CollectionDeleted,
    "AcceptedDocument": models.Uploaded,
    "AcceptedBatch": models.BatchUploaded,
    "DocumentPage": models.Page,
    "DeletionReceipt": models.DeletionReceipt,
    "Job": models.Job,
    "JobFailure": models.JobFailure,
    "DocumentGroup": models.DocumentGroup,
    "SectionGroup": models.SectionGroup,
    "JobStep": JobStep,
    "JobDocument": JobDocument,
    "Provider": models.Provider,
    "ProviderModel": models.ProviderModel,
    "ReconcileReport": models.ReconcileReport,
    "IndexRebuild": models.IndexRebuild,
    "DriftCount": models.DriftCount,
    "PassageInContext": models.PassageInContext,
    "PastSearch": models.PastSearch,
    "SearchHit": models.Hit,
    "HitExplanation": models.HitExplanation,
    "MatchedTerm": models.MatchedTerm,
    "TextSpan": models.TextSpan,
    "SearchExplanation": models.SearchExplanation,
    "QueryWord": models.QueryWord,
    "SearchResult": models.SearchResult,
    "Answer": models.Answer,
    "Citation": models.Citation,
    "ApiKey": models.ApiKey,
    "NewApiKey": models.NewApiKey,
    "Organisation": models.Organisation,
    "NewOrganisation": models.NewOrganisation,
    "EmbeddingModel": models.EmbeddingModel,
    "EmbeddingModelList": models.EmbeddingModels,
    "LanguageModel": models.LanguageModel,
    "LanguageModelList": models.LanguageModels,
}


@pytest.fixture(scope="module")
def openapi() -> Iterator[dict[str, Any]]:
    """The gateway's own description of itself; nothing is started for it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LECTERN_INTERNAL_KEY", "0" * 64)
        environment.setenv("LECTERN_GATEWAY_DATABASE_URL", "postgresql://nowhere/lectern")
        yield create_app(GatewaySettings()).openapi()


def test_every_route_has_a_method_and_no_method_asks_for_a_route_that_is_not_there(openapi: dict[str, Any], gateway: Gateway) -> None:
    with Lectern(gateway.url, KEY, retries=RetryPolicy(0)) as lectern:
        for method in METHODS:
            with contextlib.suppress(ApiError):  # the scripted gateway knows no route; that it was asked is enough
                method(lectern)
    asked = {(request.method, unquote(request.path.partition("?")[0])) for request in gateway.requests}
    served = {(method.upper(), path) for path, routes in openapi["paths"].items() if path.startswith("/api/") for method in routes}
    assert asked == served


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_the_fields_that_the_gateway_sends(openapi: dict[str, Any], name: str) -> None:
    assert set(SHAPES[name].model_fields) - {"pages"} == set(openapi["components"]["schemas"][name]["properties"])
