"""Turns settings into models, and their states into health and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedder.adapters.engines import EngineChoice
from embedder.adapters.memory import device_memory_bytes
from embedder.adapters.metrics import PrometheusObserver, observe_model
from embedder.adapters.model_folders import EmbeddingFolder, RerankerFolder, Surroundings
from embedder.adapters.remote.back_end import Address
from embedder.adapters.remote.model import RemoteModel, RemoteUse
from embedder.adapters.transformers.checkpoint import PACKAGED_MODEL, CheckpointError, model_folder
from embedder.domain.batcher import Batcher
from embedder.domain.batching import BatchLimits
from embedder.domain.embedding import Model, ModelState
from embedder.domain.encoding import Task
from embedder.domain.models import ModelSource
from embedder.settings import EmbedderSettings, ModelSettings, Precision, RemoteModelSettings
from shared.rpc.health import Health

# Stands before a model's name where its health is asked for.
HEALTH_PREFIX = "models/"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Tells gRPC health and Prometheus which models serve."""

    health: Health

    async def model_changed(self, model: Model) -> None:
        observe_model(model)
        await self.health.set_part_serving(HEALTH_PREFIX + model.spec.name, serving=model.state is ModelState.READY)


def configured_models(
    settings: EmbedderSettings, device: str, surroundings: Surroundings
) -> tuple[EmbeddingFolder | RemoteModel, Sequence[ModelSource]]:
    """The current model and the others; nothing of them is read yet.

    Raises:
        CheckpointError: the current model is no folder, or bears the name of another, or is a reranker, or a remote one though clients of
            text-embeddings-inference are served.
    """
    sources: dict[str, EmbeddingFolder | RerankerFolder | RemoteModel] = {
        each.name: _source(each, settings, device, surroundings) for each in settings.models
    }
    current = sources.pop(settings.model, None) or _folder_of_setting(settings, device, surroundings)
    if isinstance(current, RerankerFolder):
        raise CheckpointError(f"LECTERN_EMBEDDER_MODEL names the reranker {current.name!r}; the current model must be one that embeds.")
    if isinstance(current, RemoteModel) and settings.tei_listen:
        raise CheckpointError(
            f"LECTERN_EMBEDDER_MODEL names the remote model {current.name!r}, and LECTERN_EMBEDDER_TEI_LISTEN needs one with a tokenizer "
            "here. Unset one of them."
        )
    if current.name in sources:
        raise CheckpointError(
            f"LECTERN_EMBEDDER_MODELS has another model {current.name!r}; set LECTERN_EMBEDDER_MODEL to that name or rename it."
        )
    return current, list(sources.values())


def memory_budget_bytes(settings: EmbedderSettings, device: str) -> int:
    """What all loaded models together may hold."""
    return settings.models_memory_mib * 2**20 or device_memory_bytes(device) // 2


def _source(
    model: ModelSettings | RemoteModelSettings, settings: EmbedderSettings, device: str, surroundings: Surroundings
) -> EmbeddingFolder | RerankerFolder | RemoteModel:
    if isinstance(model, RemoteModelSettings):
        return _remote(model, settings, surroundings)
    choice = _choice(settings, device, model.precision)
    if model.kind == "reranker":
        return RerankerFolder(model.name, model.folder, choice, surroundings)
    prefixes = _prefixes(model.query_prefix, model.passage_prefix)
    return EmbeddingFolder(model.name, model.folder, prefixes, choice, surroundings)


def _remote(model: RemoteModelSettings, settings: EmbedderSettings, surroundings: Surroundings) -> RemoteModel:
    limits = BatchLimits(model.batch_tokens, queue_tokens=settings.queue_tokens, batch_texts=model.batch_texts)
    address = Address(model.name, model.url, model.api_key.get_secret_value(), model.remote_model, model.request_seconds)
    use = RemoteUse(
        dimension=model.dimension,
        max_length_tokens=model.max_length_tokens,
        tokenizer=model.tokenizer,
        requests=model.requests,
        prefixes=_prefixes(model.query_prefix, model.passage_prefix),
    )
    return RemoteModel(address, use, lambda: Batcher(limits, PrometheusObserver()), surroundings.bulk_threads)


def _folder_of_setting(settings: EmbedderSettings, device: str, surroundings: Surroundings) -> EmbeddingFolder:
    name = settings.model if settings.model == PACKAGED_MODEL else model_folder(settings.model).name
    prefixes = _prefixes(settings.query_prefix, settings.passage_prefix)
    return EmbeddingFolder(name, settings.model, prefixes, _choice(settings, device, settings.precision), surroundings)


def _choice(settings: EmbedderSettings, device: str, precision: Precision) -> EngineChoice:
    return EngineChoice(
        engine=settings.engine,
        device=device,
        precision=precision,
        threads=settings.threads,
        cache_folder=settings.cache_folder,
    )


def _prefixes(query: str | None, passage: str | None) -> dict[Task, str]:
    chosen = {Task.QUERY: query, Task.PASSAGE: passage}
    return {task: prefix for task, prefix in chosen.items() if prefix is not None}
