# The gateway: HTTP in, gRPC out. No model, no torch.
# Build it from the repository's root: docker build -f deploy/docker/gateway.Dockerfile -t lectern-gateway .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS packages
COPY requirements/gateway.txt /requirements/
RUN python3 -m venv /venv \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /requirements/gateway.txt

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 lectern \
    && useradd --uid 10001 --gid lectern --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lectern
COPY --from=packages /venv /venv
WORKDIR /app
COPY protos/lectern protos/lectern
COPY shared shared
COPY gateway gateway
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app:/app/protos \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LECTERN_GATEWAY_LISTEN=0.0.0.0:8080
# Bytecode now, because the user below cannot write it; and a proof that the image has all that the service imports.
RUN python -m compileall -q /app && python -c "import gateway.server"
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
CMD ["python", "-m", "gateway"]
