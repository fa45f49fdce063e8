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

# A fault at every file operation of a run, six kinds of it (4 minutes)
faults:
    EMO_FAULTS=all cargo test --features ndarray --test faults -- --nocapture

# Changed files of every kind, so many of each (60000 take a quarter of an hour)
fuzz CASES="60000":
    PROPTEST_CASES={{CASES}} cargo test --features ndarray --test bad_input

# 100,000 pictures, a million predictions, 10,000 runs, 8 sweeps on one store, 200 readers of the page (5 minutes)
load:
    EMO_LOAD=full cargo test --features ndarray --test load -- --nocapture --test-threads 1

# Licences, sources and versions of dependencies, and unused ones (needs cargo-deny and cargo-machete; `just deny advisories` their database)
deny *CHECKS="licenses bans sources":
    cargo deny --locked check {{CHECKS}}
    cargo machete

# The kernels and the memory map under AddressSanitizer, with the stable compiler's own runtime (a build of everything: 6 minutes)
sanitize:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --target-dir target/sanitize --target x86_64-unknown-linux-gnu \
        --test kernels_equal_reference --test data_cache --lib

# Benchmarks
bench:
    cargo bench

# The program that times training on a GPU, small enough to carry to one
bench-gpu:
    cargo build --release --features cuda --bench gpu
    ls target/release/deps/gpu-* | grep -v '\.d$' | xargs ls -t | head -1 | xargs -I FILE strip -o target/gpu FILE
    ls -l target/gpu

# Keras and PyTorch on the same work, in turn (sets up their environment, about 3 GB)
bench-peers *ARGS:
    python3 benches/peers/run.py {{ARGS}}
