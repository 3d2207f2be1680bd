from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter

from gateway.domain.accounts import Principal
from gateway.http.authentication import CurrentPrincipal
from gateway.http.services import CurrentServices, Services
from gateway.http.strict_route import StrictRoute
from gateway.schemas.system import DefaultModelInput, EmbeddingModel, EmbeddingModelList, LanguageModel, LanguageModelList

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=StrictRoute)

_UNKNOWN_MODEL: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "There is no such model."}}


@router.get("/embedding-models", summary="List embedding models")
async def list_embedding_models(services: CurrentServices) -> EmbeddingModelList:
    models, current = await services.embedding_models.embedding_models()
    return EmbeddingModelList(items=[EmbeddingModel.model_validate(model) for model in models], current_model=current)


@router.get("/llm-models", summary="List language models")
async def list_language_models(principal: CurrentPrincipal, services: CurrentServices) -> LanguageModelList:
    """The deployment's and those of the organisation's own providers. Any of them may be named in a question."""
    return await _language_models(principal, services)


@router.patch("/llm-models", summary="Choose the organisation's default language model", responses=_UNKNOWN_MODEL)
async def set_default_model(body: DefaultModelInput, principal: CurrentPrincipal, services: CurrentServices) -> LanguageModelList:
    """For admins."""
    await services.language_models.set_default(principal, body.default_model)
    return await _language_models(principal, services)


async def _language_models(principal: Principal, services: Services) -> LanguageModelList:
    models, default = await services.language_models.list(principal)
    return LanguageModelList(items=[LanguageModel.model_validate(model) for model in models], default_model=default)
