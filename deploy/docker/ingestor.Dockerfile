# The ingestor: parses and stores documents. No torch.
# Build it from the repository's root: docker build -f deploy/docker/ingestor.Dockerfile -t lectern-ingestor .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS packages
COPY requirements/ingestor.txt /requirements/
RUN python3 -m venv /venv \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /requirements/ingestor.txt

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 lectern \
    && useradd --uid 10001 --gid lectern --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lectern
COPY --from=packages /venv /venv
WORKDIR /app
COPY protos/lectern protos/lectern
COPY shared shared
COPY ingestor ingestor
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app:/app/protos \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LECTERN_INGESTOR_LISTEN=0.0.0.0:8081
# Bytecode now, because the user below cannot write it; and a proof that the image has all that the service imports.
RUN python -m compileall -q /app && python -c "import ingestor.server"
USER 10001:10001
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "shared.rpc.probe", "127.0.0.1:8081"]
CMD ["python", "-m", "ingestor"]
