from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from gateway.domain.accounts import Principal
from gateway.http.authentication import CurrentPrincipal
from gateway.http.services import CurrentServices, Services
from gateway.http.strict_route import StrictRoute
from gateway.schemas.openai_models import OpenAIModel, OpenAIModelList
from shared.errors import not_found

router = APIRouter(prefix="/v1", tags=["openai"], route_class=StrictRoute)


@router.get("/models", summary="List assistants and models, as OpenAI's clients ask for it")
async def list_models(principal: CurrentPrincipal, services: CurrentServices) -> OpenAIModelList:
    """What `POST /v1/chat/completions` and `POST /v1/embeddings` can be asked for."""
    return OpenAIModelList(data=list((await _models(principal, services)).values()))


@router.get("/models/{model:path}", summary="Get an assistant or a model, as OpenAI's clients ask for it")
async def get_model(
    model: Annotated[str, Path(description="Its name.")], principal: CurrentPrincipal, services: CurrentServices
) -> OpenAIModel:
    found = (await _models(principal, services)).get(model)
    if found is None:
        raise not_found("model", model)
    return found


async def _models(principal: Principal, services: Services) -> dict[str, OpenAIModel]:
    """By name; of two of one name, the one that a request gets."""
    embedding, _ = await services.embedding_models.embedding_models()
    language, _ = await services.language_models.list(principal)
    assistants = await services.assistants.every(principal)
    models = [OpenAIModel(id=model.name, kind="embedding") for model in embedding]
    models += [OpenAIModel(id=model.name, kind="language") for model in language]
    models += [OpenAIModel(id=each.name, kind="assistant", created=int(each.create_time.timestamp())) for each in assistants]
    return {model.id: model for model in models}
