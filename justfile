# `just run experiments/baseline.toml`, `just test`, `just ci`, `just bench`

default:
    @just --list

# Run one experiment
run FILE *ARGS:
    cargo run --release -- run {{FILE}} {{ARGS}}

# All tests
test:
    cargo test --features ndarray

# What continuous integration runs
ci:
    CI=true bash .ci/run

# A sweep killed at random moments, so many rounds (a minute for ten)
kill-rounds ROUNDS="100":
    EMO_KILL_ROUNDS={{ROUNDS}} cargo test --release --test sweep_survives killed_at_any_moment -- --nocapture

# Benchmarks
bench:
    cargo bench

# Keras and PyTorch on the same work, in turn (sets up their environment, about 3 GB)
bench-peers *ARGS:
    python3 benches/peers/run.py {{ARGS}}
