# Swell in a container: one static binary, no shell, not root.
#
#   docker build -t swell .
#   docker run --rm -p 6379:6379 -p 11211:11211 -p 9121:9121 -e SWELL_REQUIREPASS=secret swell
#
# A password is needed here. Inside a container Swell has to listen on 0.0.0.0 to be reached at all, and whoever comes in
# through a published port is not a loopback peer: without a password protected mode turns him away, on all three ports.
# Better than -e is a file: mount it and name it with SWELL_CONFIG.
#
# Memory: the default limit is half of the container's own (docker run --memory …), read from its cgroup.
# Other options are flags behind the image's name, or SWELL_* variables; unknown ones are refused.

FROM rust:1-alpine AS build
# mimalloc is C. The image's own target is musl, which links statically by default.
RUN apk add --no-cache gcc make musl-dev linux-headers
WORKDIR /swell
COPY . .
RUN cargo build --release --locked --bin swell && strip target/release/swell
# A folder for the image: scratch has no program that could make one.
RUN install -d -m 0700 /empty

FROM scratch
COPY --from=build /swell/target/release/swell /swell
# Scratch has nowhere to write, not even /tmp: here are the data directory and in it the sockets that scaler and nodes
# talk over. A volume, so that it is writable under --read-only too. What is mounted there must be the user's below.
COPY --from=build --chown=65532:65532 --chmod=0700 /empty /data
VOLUME /data
# Nobody in particular: no name is needed, and none is there.
USER 65532:65532
ENV SWELL_DATA_DIR=/data \
    SWELL_RESP=0.0.0.0:6379 \
    SWELL_MEMCACHED=0.0.0.0:11211 \
    SWELL_HTTP=0.0.0.0:9121 \
    SWELL_LOG_FORMAT=json
EXPOSE 6379 11211 9121
# Asks /readyz over loopback, which needs no password.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/swell", "health"]
ENTRYPOINT ["/swell"]
