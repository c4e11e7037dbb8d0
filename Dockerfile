# syntax=docker/dockerfile:1
# Three images of one product, by --target: web, worker-cpu, worker-gpu. Each installs its own lock
# file, so that the web carries no network and a CPU worker no TensorFlow.
# The tag is for people; Docker takes the image by its digest.
FROM python:3.12.14-slim-trixie@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea AS base
ENV PATH=/opt/hematovision/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HEMATOVISION_DATA=/data
# The same numbers in every image: web and workers share the volume of images.
RUN groupadd --gid 10001 hematovision \
 && useradd --uid 10001 --gid hematovision --no-create-home --home-dir /data hematovision \
 && install --directory --owner hematovision --group hematovision /data /data/blobs

FROM base AS build
RUN python -m venv /opt/hematovision
WORKDIR /source

# The product itself, made once for the three.
FROM build AS product
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY contract contract
COPY lexicon lexicon
COPY hematovision hematovision
COPY migrations migrations
COPY ml ml
COPY web web
COPY worker worker
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM build AS build-web
COPY locks/web.txt locks/
RUN pip install --no-cache-dir --require-hashes -r locks/web.txt
RUN --mount=from=product,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl

FROM build AS build-worker-cpu
COPY locks/worker-cpu.txt locks/
RUN pip install --no-cache-dir --require-hashes -r locks/worker-cpu.txt
RUN --mount=from=product,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl

FROM build AS build-worker-gpu
COPY locks/worker-gpu.txt locks/
RUN pip install --no-cache-dir --require-hashes -r locks/worker-gpu.txt
RUN --mount=from=product,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl

FROM base AS web
COPY --from=build-web /opt/hematovision /opt/hematovision
ENV HEMATOVISION_HOST=0.0.0.0 HEMATOVISION_PORT=8000
WORKDIR /data
USER hematovision
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=8)"]
CMD ["hematovision", "web"]

FROM base AS worker-cpu
COPY --from=build-worker-cpu /opt/hematovision /opt/hematovision
COPY deploy/heartbeat.py /opt/hematovision/heartbeat.py
WORKDIR /data
USER hematovision
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "/opt/hematovision/heartbeat.py"]
CMD ["hematovision", "worker"]

FROM base AS worker-gpu
COPY --from=build-worker-gpu /opt/hematovision /opt/hematovision
COPY deploy/heartbeat.py /opt/hematovision/heartbeat.py
WORKDIR /data
USER hematovision
# TensorFlow takes its time to find the device and to load.
HEALTHCHECK --interval=30s --timeout=20s --start-period=180s --retries=3 \
    CMD ["python", "/opt/hematovision/heartbeat.py"]
CMD ["hematovision", "worker"]
