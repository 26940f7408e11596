# A small image with the program alone. scripts/fresh trixie --image runs these steps where there is no Docker.
FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    gcc libc6-dev meson ninja-build pkg-config python3 libpq-dev libsqlite3-dev libevent-dev libyaml-dev libyajl-dev \
    libmsgpack-c-dev librdkafka-dev libhiredis-dev libssl-dev
COPY . /src
RUN meson setup /build /src --buildtype=release -Dkafka=enabled -Dredis=enabled -Dtests=disabled && \
    ninja -C /build src/cli/meowmx && strip -o /meowmx /build/src/cli/meowmx

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates libpq5 libsqlite3-0 libevent-core-2.1-7t64 libevent-extra-2.1-7t64 libevent-pthreads-2.1-7t64 libyaml-0-2 \
    libyajl2 libmsgpack-c2 librdkafka1 libhiredis1.1.0 libssl3t64 && rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --home-dir /var/lib/meowmx --create-home --shell /usr/sbin/nologin meowmx
COPY --from=build /meowmx /usr/local/bin/meowmx
USER 10001:10001
WORKDIR /var/lib/meowmx
EXPOSE 9187
ENTRYPOINT ["meowmx"]
CMD ["relay"]
