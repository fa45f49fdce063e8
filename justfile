# `just run experiments/baseline.toml`, `just test`, `just ci`, `just bench`

default:
    @just --list

# Run one experiment
run FILE *ARGS:
    cargo run --release -- run {{FILE}} {{ARGS}}

# All tests
test:
    cargo test --features ndarray

# The tools that runs are exported to read them back (sets up their environment, about 1.5 GB)
tools:
    cargo build --features ndarray
    python3 -m venv target/tools
    target/tools/bin/pip install --quiet --requirement tests/tools/requirements.txt
    target/tools/bin/python tests/tools/exports.py target/debug/emo-runner

# The page in a real browser (needs Chromium and Node); leaves screenshots in target/browser
browser:
    cargo build --features ndarray
    npm ci --prefix tests/browser
    npm test --prefix tests/browser

# Sweeps on a real Slurm of three nodes on this machine (as root; needs slurmctld slurmd slurm-client munge faketime from Debian)
slurm *ARGS:
    cargo test --features ndarray --test slurm -- --ignored {{ARGS}}

# What continuous integration runs
ci:
    CI=true bash .ci/run

# A sweep killed at random moments, so many rounds (a minute for ten)
kill-rounds ROUNDS="100":
    EMO_KILL_ROUNDS={{ROUNDS}} cargo test --release --test sweep_survives killed_at_any_moment -- --nocapture

# A fault at every file operation of a run, five kinds of it (3 minutes)
faults:
    EMO_FAULTS=all cargo test --features ndarray --test faults -- --nocapture

# Changed files of every kind, so many of each (60000 take 3 minutes)
fuzz CASES="60000":
    PROPTEST_CASES={{CASES}} cargo test --features ndarray --test bad_input

# Benchmarks
bench:
    cargo bench

# Keras and PyTorch on the same work, in turn (sets up their environment, about 3 GB)
bench-peers *ARGS:
    python3 benches/peers/run.py {{ARGS}}
