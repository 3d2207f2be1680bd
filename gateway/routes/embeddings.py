from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.embeddings import EmbeddingTimings, embed
from gateway.http.client_presence import while_connected
from gateway.http.services import CurrentServices
from gateway.http.strict_route import JSON, StrictRoute
from gateway.http.vector_json import embeddings_json
from gateway.schemas.embeddings import EmbeddingList, EmbeddingsInput

router = APIRouter(prefix="/v1", tags=["openai"], route_class=StrictRoute)


@router.post(
    "/embeddings",
    summary="Embed texts, as OpenAI's clients ask for it",
    response_model=EmbeddingList,
    responses={404: {"description": "There is no such model."}},
)
async def create_embeddings(body: EmbeddingsInput, request: Request, services: CurrentServices) -> Response:
    """A vector for each input. The header `Server-Timing` says how long the embedder tokenised, queued and ran the model.

    Little is embedded ahead of bulk work, and refused with 429 when too much waits; much gives way to others and waits its turn.
    """
    embeddings = await while_connected(request, embed(services.embedder, body.to_request()))
    content = await embeddings_json(embeddings, as_base64=body.encoding_format == "base64")
    return Response(content, media_type=JSON, headers={"Server-Timing": _server_timing(embeddings.timings)})


def _server_timing(timings: EmbeddingTimings) -> str:
    stages = {"tokenize": timings.tokenize, "queue": timings.queue, "inference": timings.inference}
    return ", ".join(f"{stage};dur={milliseconds:.3f}" for stage, milliseconds in stages.items())
