# syntax=docker/dockerfile:1

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data parlor \
    && install --directory --owner=parlor --group=parlor /data
COPY --from=build /src/target/release/parlor /usr/local/bin/parlor
USER parlor
ENV PARLOR_DATA_DIR=/data
VOLUME /data
EXPOSE 8080/tcp 3478/udp
ENTRYPOINT ["parlor"]
CMD ["serve"]
