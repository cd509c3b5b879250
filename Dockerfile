# Two images from one file: `api` (API and control worker, without TensorFlow) and `worker` (trials).
#   docker build --target api    -t tuneserve-api .
#   docker build --target worker -t tuneserve-worker .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    TUNESERVE_DATA_FOLDER=/data TUNESERVE_HOST=0.0.0.0
RUN useradd --create-home --uid 10001 tuneserve && install -d -o tuneserve -g tuneserve /data
WORKDIR /app
COPY requirements/uv.txt requirements/
RUN pip install --require-hashes -r requirements/uv.txt

FROM base AS api
COPY requirements/api.txt requirements/
RUN uv pip install --system --no-cache --require-hashes -r requirements/api.txt
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY store store
COPY tasks tasks
COPY tuning tuning
COPY service service
RUN uv pip install --system --no-cache --no-deps .
USER tuneserve
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["tuneserve-server", "api"]

FROM base AS worker
COPY requirements/worker.txt requirements/
RUN uv pip install --system --no-cache --require-hashes -r requirements/worker.txt
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY store store
COPY tasks tasks
COPY tuning tuning
COPY service service
RUN uv pip install --system --no-cache --no-deps .
USER tuneserve
VOLUME /data
CMD ["python", "-m", "tasks.worker", "--queues", "trials"]
