"""The language models that an organisation can name: the generator's, and those of its own providers as `provider/model`."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from gateway.domain.accounts import Principal, Role
from gateway.domain.models import LanguageModel, LanguageModels
from gateway.domain.providers import ModelChoice, ProviderStore, all_providers
from gateway.errors import role_required
from shared.errors import not_found

log = structlog.get_logger()


class OrganisationModels:
    """What a name of a model means to an organisation, and which one it uses by default."""

    def __init__(self, own: LanguageModels, store: ProviderStore) -> None:
        self._own = own
        self._store = store

    async def list(self, principal: Principal) -> tuple[Sequence[LanguageModel], str]:
        """Every model, and the name of the default one."""
        own, default = await self._own.language_models()
        providers = await all_providers(self._store, principal.organisation_id)
        brought = [LanguageModel(f"{each.name}/{model.name}", each.kind.value) for each in providers for model in each.models]
        return [*own, *brought], await self._store.default_model(principal.organisation_id) or default

    async def choose(self, principal: Principal, name: str) -> ModelChoice:
        """What answers a question that names ``name``; empty: the default. The generator refuses names that are nobody's.

        Raises:
            AppError: MODEL_NOT_FOUND when the organisation's provider has no such model, PROVIDER_KEY_UNREADABLE.
        """
        choice = await self._store.choose_model(principal.organisation_id, name)
        if choice.provider and choice.endpoint is None:
            raise not_found("model", choice.name)
        return choice

    async def require(self, principal: Principal, name: str) -> None:
        """Raises AppError MODEL_NOT_FOUND when there is no model ``name``; empty is the default one."""
        if name and name not in {model.name for model in (await self.list(principal))[0]}:
            raise not_found("model", name)

    async def set_default(self, principal: Principal, name: str) -> None:
        """Answer with ``name`` where nothing else is asked for; empty: as the generator does. For admins.

        Raises:
            AppError: ROLE_REQUIRED or MODEL_NOT_FOUND.
        """
        if not principal.role.includes(Role.ADMIN):
            raise role_required(Role.ADMIN)
        await self.require(principal, name)
        await self._store.set_default_model(principal.organisation_id, name)
        log.info("default_language_model_changed", model=name)
