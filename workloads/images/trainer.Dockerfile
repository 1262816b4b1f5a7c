# The trainer and its supervisor. CUDA comes with the wheels of torch and the driver from the node: a CUDA base would only hold the same libraries once more.
# The release gives the base with its digest. x86-64 only: the lock file is for that.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY workloads/requirements.lock requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip python3 -m venv --without-pip /opt/venv && \
    python3 -m pip --python /opt/venv/bin/python3 install --no-deps --require-hashes --only-binary :all: --no-compile -r requirements.lock

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicuna-trainer" \
      org.opencontainers.image.description="Supervisor and FSDP trainer that save at an interruption’s notice and resume where they were" \
      org.opencontainers.image.source="https://github.com/vicuna-operator/vicuna-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=packages /opt/venv /opt/venv
COPY workloads/trainer/vicuna_trainer /opt/vicuna/vicuna_trainer
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/vicuna \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/tmp \
    USER=vicuna
WORKDIR /tmp
USER 1000:1000
ENTRYPOINT ["python3", "-m", "vicuna_trainer.supervisor"]
