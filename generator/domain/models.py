"""The models that requests can name, and those that an organisation brings with its request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from generator import errors
from generator.domain.engine import Engine
from generator.domain.language_model import LanguageModel

ENDPOINT_LABEL = "endpoint"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Upper bounds in a model's tokens: of what it is told and of what it writes; 0: none."""

    context: int = 0
    answer: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an organisation's own model runs, in the OpenAI chat protocol. A limit of 0 is the service's default."""

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    limits: TokenLimits = TokenLimits()


@dataclass(frozen=True, slots=True)
class Model:
    """Something that answers from passages with its ``engine`` and, if it has a ``writer``, continues any conversation.

    Attributes:
        is_brought: whether it came with a request, and is none of the service's own.
    """

    name: str
    engine: Engine
    writer: LanguageModel | None = None
    limits: TokenLimits = TokenLimits()
    is_brought: bool = False

    @property
    def label(self) -> str:
        """What metrics call it. The names of models that organisations bring are their own, and without number."""
        return ENDPOINT_LABEL if self.is_brought else self.name

    def written_by(self) -> LanguageModel:
        """The writer.

        Raises:
            AppError: MODEL_CANNOT_COMPLETE, this model only quotes.
        """
        if self.writer is None:
            raise errors.model_cannot_complete(self.name)
        return self.writer


class EndpointModels(Protocol):
    """Opens the models that requests bring."""

    def open(self, endpoint: Endpoint) -> AbstractAsyncContextManager[Model]:
        """The model at ``endpoint``, usable until the context is left.

        Raises:
            AppError: nothing may be sent there, or its description is wrong.
        """


class ModelRegistry:
    """Finds the model of a request."""

    def __init__(self, models: Mapping[str, Model], *, default: str, endpoints: EndpointModels) -> None:
        """``default`` is one of ``models``."""
        self.models = models
        self.default = default
        self._endpoints = endpoints

    def named(self, name: str) -> Model:
        """The configured model ``name``; the default one for an empty name.

        Raises:
            AppError: MODEL_NOT_FOUND.
        """
        model = self.models.get(name or self.default)
        if model is None:
            raise errors.unknown_model(name, self.models)
        return model

    @asynccontextmanager
    async def open(self, name: str, endpoint: Endpoint | None = None) -> AsyncIterator[Model]:
        """The model of a request, usable until the context is left: the one at ``endpoint`` if it brings one, else as `named`.

        Raises:
            AppError: there is none.
        """
        if endpoint is None:
            yield self.named(name)
            return
        async with self._endpoints.open(endpoint) as model:
            yield model
