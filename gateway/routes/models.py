from __future__ import annotations

from fastapi import APIRouter

from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.system import EmbeddingModel, EmbeddingModelList, LanguageModel, LanguageModelList

router = APIRouter(prefix="/api/v1", tags=["models"], route_class=StrictRoute)


@router.get("/embedding-models", summary="List embedding models")
async def list_embedding_models(services: CurrentServices) -> EmbeddingModelList:
    models, current = await services.embedding_models.embedding_models()
    return EmbeddingModelList(items=[EmbeddingModel.model_validate(model) for model in models], current_model=current)


@router.get("/llm-models", summary="List language models")
async def list_language_models(services: CurrentServices) -> LanguageModelList:
    """Any of them may be named in a question."""
    models, default = await services.language_models.language_models()
    return LanguageModelList(items=[LanguageModel.model_validate(model) for model in models], default_model=default)
