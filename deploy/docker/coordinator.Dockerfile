# The coordinator: Node and this package, no TensorFlow. Also computes on CPUs (lockstep worker --engine wasm).
# From the repository's root: docker build -f deploy/docker/coordinator.Dockerfile -t lockstep .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY . .
# Without install scripts: the only ones are of TensorFlow's package, which the coordinator has no use for.
RUN npm ci --ignore-scripts \
 && npm run build \
 && npm prune --omit=dev --omit=optional --ignore-scripts

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN mkdir /runs && chown node:node /runs
USER 1000
WORKDIR /runs
VOLUME /runs
EXPOSE 7350
# What a container is told to stop with: the running step ends and a checkpoint is saved.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/cli.js"]
CMD ["coordinator", "--host", "0.0.0.0", "--run-dir", "/runs/current", "--resume", "auto"]
