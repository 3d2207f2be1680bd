"""Models that organisations bring: a client for each endpoint, kept while there is use for it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import structlog
from openai import AsyncOpenAI

from generator import errors
from generator.adapters.openai_model import OpenAiModel, openai_client
from generator.adapters.waiting import Waiting
from generator.domain.bounded_model import BoundedModel, ModelObserver
from generator.domain.language_model import LanguageModel
from generator.domain.model_source import ModelSource
from generator.domain.models import Endpoint, Model, TokenLimits
from shared.networks import Network

log = structlog.get_logger()
# Bounds that no request can bring are the service's.
_SERVICE_SETTING = "LECTERN_GENERATOR_ENDPOINTS__{}"
_RETRY_AFTER_SECONDS = 2.0
_MAX_URL_CHARACTERS = 2048
_MAX_NAME_CHARACTERS = 256
# A header's value: visible ASCII.
_KEY = re.compile(r"[!-~]{0,4096}")


@dataclass(frozen=True, slots=True)
class EndpointBounds:
    """What holds for every endpoint; its tokens are those of an endpoint that says nothing."""

    tokens: TokenLimits
    max_clients: int
    max_concurrent: int
    max_attempts: int
    connect_timeout_seconds: float
    first_token_timeout_seconds: float
    idle_timeout_seconds: float
    allowed_networks: Sequence[Network]


@dataclass(slots=True)
class _Connected:
    """A model, what closes its client, and how many requests use it."""

    model: Model
    stack: AsyncExitStack
    uses: int = 0


class OpenAiEndpoints:
    """The models of endpoints in the OpenAI chat protocol."""

    def __init__(self, bounds: EndpointBounds, observer: ModelObserver, make: Callable[[str, LanguageModel, TokenLimits], Model]) -> None:
        """``make`` gives a language model what makes it a `Model`."""
        self._bounds = bounds
        self._observer = observer
        self._make = make
        # The one that was used last stands at the end.
        self._connected: OrderedDict[Endpoint, _Connected] = OrderedDict()

    @property
    def client_count(self) -> int:
        return len(self._connected)

    @asynccontextmanager
    async def open(self, endpoint: Endpoint) -> AsyncIterator[Model]:
        """As the port's.

        Raises:
            AppError: ENDPOINT_INVALID, or GENERATOR_BUSY when every client is in use.
        """
        _check(endpoint)
        connected = self._connected.get(endpoint)
        if connected is None:
            connected = await self._connect(endpoint)
        self._connected.move_to_end(endpoint)
        connected.uses += 1
        try:
            yield connected.model
        finally:
            connected.uses -= 1

    async def close(self) -> None:
        """Close every client; what still streams is cut."""
        while self._connected:
            _, connected = self._connected.popitem()
            await connected.stack.aclose()

    async def _connect(self, endpoint: Endpoint) -> _Connected:
        bounds = self._bounds
        closing = self._idlest() if len(self._connected) >= bounds.max_clients else None
        stack = AsyncExitStack()
        client = await stack.enter_async_context(
            openai_client(endpoint.base_url, endpoint.api_key, bounds.connect_timeout_seconds, bounds.allowed_networks)
        )
        connected = self._connected[endpoint] = _Connected(self._model(endpoint, client), stack)
        if closing is not None:
            await closing.stack.aclose()
        return connected

    def _model(self, endpoint: Endpoint, client: AsyncOpenAI) -> Model:
        bounds = self._bounds
        source = ModelSource(endpoint.model, service=_SERVICE_SETTING)
        waiting = Waiting(source, bounds.first_token_timeout_seconds, bounds.idle_timeout_seconds)
        model = OpenAiModel(client, endpoint.model, waiting, max_attempts=bounds.max_attempts)
        limits = TokenLimits(endpoint.limits.context or bounds.tokens.context, endpoint.limits.answer or bounds.tokens.answer)
        writer = BoundedModel(model, source, max_concurrent=bounds.max_concurrent, observer=self._observer)
        return replace(self._make(endpoint.model, writer, limits), is_brought=True)

    def _idlest(self) -> _Connected:
        """Take out the model that nobody has used for the longest time."""
        idle = next((endpoint for endpoint, connected in self._connected.items() if not connected.uses), None)
        if idle is None:
            raise errors.too_many_endpoints(_RETRY_AFTER_SECONDS)
        return self._connected.pop(idle)


def _check(endpoint: Endpoint) -> None:
    try:
        url = urlsplit(endpoint.base_url)
        # Reading the port raises when it is none.
        is_address = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or len(endpoint.base_url) > _MAX_URL_CHARACTERS:
        raise errors.endpoint_invalid("base_url", "The address must begin with http:// or https:// and name a host.")
    if url.username or url.password or url.query or url.fragment:
        raise errors.endpoint_invalid("base_url", "The address must be a plain one: keys belong into `api_key`.")
    if not 0 < len(endpoint.model.strip()) <= _MAX_NAME_CHARACTERS:
        message = f"Name the endpoint's model, in at most {_MAX_NAME_CHARACTERS} characters."
        raise errors.endpoint_invalid("model", message)
    if not _KEY.fullmatch(endpoint.api_key):
        raise errors.endpoint_invalid("api_key", "A key has only visible ASCII characters. Copy it again, without spaces.")
