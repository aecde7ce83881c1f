# A worker for NVIDIA GPUs: the image contains TensorFlow and its CUDA libraries (about 6 GB); the host provides the driver.
# From the repository root: docker build -f deploy/docker/worker-gpu.Dockerfile -t lockstep-gpu .
# For CPUs only (2 GB): --build-arg BASE=debian:bookworm-slim --build-arg TENSORFLOW=cpu
ARG BASE=nvidia/cuda:12.5.1-base-ubuntu22.04

FROM node:22-bookworm-slim AS node

FROM node AS build
WORKDIR /app
COPY . .
RUN npm ci --ignore-scripts \
 && npm run build \
 && npm prune --omit=dev --omit=optional --ignore-scripts

FROM ${BASE}
ENV NODE_ENV=production LOCKSTEP_HOME=/opt/lockstep
# setup-tensorflow needs a compiler for the binding and pip to download the library.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ python3 python3-pip \
 && rm -rf /var/lib/apt/lists/*
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
ARG TENSORFLOW=gpu
RUN node dist/cli.js setup-tensorflow "--${TENSORFLOW}" \
 && rm -rf /root/.cache /root/.npm
RUN useradd --create-home --uid 1000 worker \
 && install -d -o worker /home/worker/.cache
USER 1000
WORKDIR /home/worker
ENTRYPOINT ["node", "/app/dist/cli.js"]
CMD ["worker", "--help"]
