# The coordinator: Node and this package, without TensorFlow. It can also run CPU workers (lockstep worker --engine wasm).
# From the repository root: docker build -f deploy/docker/coordinator.Dockerfile -t lockstep .
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY . .
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
# On SIGTERM the coordinator finishes the running step and saves a checkpoint.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/cli.js"]
CMD ["coordinator", "--host", "0.0.0.0", "--run-dir", "/runs/current", "--resume", "auto"]
