# docker build -t emo-runner . && docker run --rm -v "$PWD/results:/work/results" emo-runner run experiments/quick.toml
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
COPY --from=build /build/target/release/emo-runner /usr/local/bin/emo-runner
WORKDIR /work
COPY experiments experiments
ENTRYPOINT ["emo-runner"]
CMD ["--help"]
