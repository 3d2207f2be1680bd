from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.http.services import CurrentServices
from gateway.http.strict_route import StrictRoute
from gateway.schemas.system import Dependency, Health, ReadinessReport, Welcome

# Of our own, because the usual page fetches its scripts from a public server, which a closed network has not.
_REFERENCE = Path(__file__).with_name("reference.html").read_bytes()
_SELF_CONTAINED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
router = APIRouter(tags=["system"], route_class=StrictRoute)


@router.get("/", summary="Where to go from here")
async def welcome() -> Welcome:
    return Welcome()


@router.get("/docs", include_in_schema=False)
async def reference() -> Response:
    return Response(_REFERENCE, media_type="text/html", headers={"Content-Security-Policy": _SELF_CONTAINED})


@router.get("/healthz", summary="Whether the process is alive")
async def health() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Whether everything that is needed is there",
    responses={503: {"model": ReadinessReport, "description": "At least one dependency is not ready; the body says which."}},
)
async def readiness(response: Response, services: CurrentServices) -> ReadinessReport:
    ready = await services.readiness.check()
    if not all(ready.values()):
        response.status_code = 503
    return ReadinessReport(
        status="ready" if all(ready.values()) else "unavailable",
        dependencies={name: Dependency(state="ready" if is_ready else "unavailable") for name, is_ready in ready.items()},
    )


@router.get("/metrics", summary="Measurements for Prometheus", response_class=Response)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
