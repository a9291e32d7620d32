# The exact release, so that two builds have the same base; a digest in its place would also hold the tag still.
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY programs programs
RUN npm run build && npm prune --omit=dev
# Never run here: types, maps, tests, sources beside what was built of them, the module format that nobody asks for, other
# systems' binaries, all bundles of TensorFlow but the one that danfo needs, and what stands in for OpenTelemetry's SDK.
RUN cd node_modules \
  && find . -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' -o -name '*.markdown' \) -delete \
  && rm -rf effect/src effect/dist/dts effect/dist/cjs @effect/*/src @effect/*/dist/dts @effect/*/dist/cjs @libsql/*-musl \
    mathjs/lib/esm mathjs/lib/browser mathjs/examples bintrees/test \
  && find @tensorflow/tfjs-node/dist -mindepth 1 ! -name 'tf-core.node.js' -delete \
  && find @opentelemetry -mindepth 1 -maxdepth 1 ! -name api -exec rm -rf {} + \
  && find . -type d -empty -delete

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="heatpump-telemetry" org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN chmod 0755 dist/programs/main.js && ln -s /app/dist/programs/main.js /usr/local/bin/telemetry \
  && mkdir -m 0700 /data && mkdir -m 0755 /models && chown node:node /data /models
USER node
VOLUME /data
EXPOSE 8000
# What `telemetry healthcheck` asks, without its second of CPU every half minute.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Fit to be PID 1: it handles SIGTERM and SIGINT itself and starts no other process.
ENTRYPOINT ["telemetry"]
CMD ["serve"]
