from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.openai_models import OpenAIModel, OpenAIModelList
from shared.errors import not_found

router = APIRouter(prefix="/v1", tags=["openai"], route_class=StrictRoute)


@router.get("/models", summary="List models, as OpenAI's clients ask for it")
async def list_models(services: CurrentServices) -> OpenAIModelList:
    """What `POST /v1/embeddings` can be asked for."""
    models, _ = await services.embedding_models.embedding_models()
    return OpenAIModelList(data=[OpenAIModel(id=model.name) for model in models])


@router.get("/models/{model:path}", summary="Get a model, as OpenAI's clients ask for it")
async def get_model(model: Annotated[str, Path(description="The model's name.")], services: CurrentServices) -> OpenAIModel:
    models, _ = await services.embedding_models.embedding_models()
    if model not in {known.name for known in models}:
        raise not_found("model", model)
    return OpenAIModel(id=model)
