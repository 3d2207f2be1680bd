# The embedder: the text model and the way to Milvus.
# Build it from the repository's root: docker build -f deploy/docker/embedder.Dockerfile -t lectern-embedder .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS packages
# cpu takes torch without CUDA where the package index has it (PIP_EXTRA_INDEX_URL can name one that does); cuda takes the CUDA libraries.
ARG ACCELERATOR=cpu
ARG PIP_EXTRA_INDEX_URL
COPY requirements/embedder.txt requirements/torch-cpu.txt requirements/cuda.txt /requirements/
RUN python3 -m venv /venv \
    && install="/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps" \
    && if [ "$ACCELERATOR" = cpu ]; then $install -r /requirements/torch-cpu.txt || echo "No torch without CUDA here: taking the default."; fi \
    && $install -r /requirements/embedder.txt \
    && if /venv/bin/python -c "import importlib.metadata as m, sys; sys.exit(not any(r.startswith(('nvidia-', 'cuda-')) for r in m.requires('torch')))"; \
       then $install -r /requirements/cuda.txt; fi

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 lectern \
    && useradd --uid 10001 --gid lectern --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lectern
COPY --from=packages /venv /venv
WORKDIR /app
COPY protos/lectern protos/lectern
COPY protos/tei protos/tei
COPY shared shared
COPY embedder embedder
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app:/app/protos \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    LECTERN_EMBEDDER_LISTEN=0.0.0.0:8082
# Bytecode now, because the user below cannot write it; and a proof that the image has all that the service imports.
RUN python -m compileall -q /app && python -c "import embedder.server"
USER 10001:10001
EXPOSE 8082
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "shared.rpc.probe", "127.0.0.1:8082"]
CMD ["python", "-m", "embedder"]
