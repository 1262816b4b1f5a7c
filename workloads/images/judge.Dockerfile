# The judge as plain JavaScript, its page and the blog’s questions beside it, on Node’s binary and nothing else.
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
COPY workloads/judge workloads/judge
COPY workloads/gateway/page workloads/gateway/page
COPY examples/evaluation/question.jsonl examples/evaluation/question.jsonl
RUN node -e "import('/src/workloads/judge/build.ts').then((m) => m.buildJudge('/out'))"

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
COPY --from=build /out /opt/vicuna/judge
ENV HOME=/tmp
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/node", "/opt/vicuna/judge/main.js"]
