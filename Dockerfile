FROM docker.io/library/node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY programs programs
RUN npm run build && npm prune --omit=dev

FROM docker.io/library/node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN ln -s /app/dist/programs/main.js /usr/local/bin/telemetry && mkdir -m 0700 /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8000
CMD ["telemetry", "serve"]
