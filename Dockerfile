# syntax=docker/dockerfile:1

FROM rust:1-trixie AS build
WORKDIR /src
COPY . .
# What was fetched and compiled is kept between builds, outside the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && install -D --strip target/release/parlor /out/usr/local/bin/parlor \
    && install --directory --owner=10001 --group=10001 --mode=0700 /out/data

# The C library and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian13
COPY --from=build /out /
USER 10001:10001
ENV PARLOR_DATA_DIR=/data
VOLUME /data
EXPOSE 8080/tcp 3478/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["parlor", "health"]
ENTRYPOINT ["parlor"]
CMD ["serve"]
