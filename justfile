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

# Benchmarks
bench:
    cargo bench
