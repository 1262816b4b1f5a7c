# The judge from its sources, which Node runs as they are: it loads parts and reads its prompts and page when it needs them.
# The release gives both bases with their digests.
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS node

FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS packages
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --omit=dev

FROM ${BASE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicuna-judge" \
      org.opencontainers.image.description="Evaluates models with a language model as judge" \
      org.opencontainers.image.source="https://github.com/vicuna-operator/vicuna-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=packages /src /opt/vicuna
COPY operator /opt/vicuna/operator
COPY workloads/judge /opt/vicuna/workloads/judge
ENV HOME=/tmp
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/node", "/opt/vicuna/workloads/judge/main.ts"]
