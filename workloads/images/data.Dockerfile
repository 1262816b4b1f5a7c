# The data pipeline: a tokenizer needs no torch.
# The release gives the base with its digest. x86-64 only: the lock file is for that.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY workloads/requirements-data.lock requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip python3 -m venv --without-pip /opt/venv && \
    python3 -m pip --python /opt/venv/bin/python3 install --no-deps --require-hashes --only-binary :all: --no-compile -r requirements.lock

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicuna-data" \
      org.opencontainers.image.description="From shared conversations as HTML to a training set" \
      org.opencontainers.image.source="https://github.com/vicuna-operator/vicuna-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=packages /opt/venv /opt/venv
COPY workloads/trainer/vicuna_trainer /opt/vicuna/vicuna_trainer
COPY workloads/data/vicuna_data /opt/vicuna/vicuna_data
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/vicuna \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /tmp
USER 1000:1000
ENTRYPOINT ["python3", "-m", "vicuna_data"]
