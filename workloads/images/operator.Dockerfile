# The operator as one file of plain JavaScript on Node's binary and nothing else: no shell, no package manager.
# The release gives both bases with their digests.
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS node

FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS packages
# What is bundled is listed here, where it can still be told apart.
ARG BUILDKIT_SBOM_SCAN_STAGE=true
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --prefer-offline

FROM packages AS build
COPY operator operator
RUN node -e "import('/src/operator/build.ts').then((m) => m.buildOperator('/out'))"

FROM ${BASE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vicuna-operator" \
      org.opencontainers.image.description="Kubernetes operator for training and serving language models on spot GPUs" \
      org.opencontainers.image.source="https://github.com/vicuna-operator/vicuna-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=build /out /opt/vicuna/operator
ENV HOME=/tmp
USER 1000:1000
EXPOSE 8080 9090
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=2", "/opt/vicuna/operator/main.js"]
