"""Times emo-runner against Keras and PyTorch on the same work, in turn, and prints the table of ratios.

    python3 benches/peers/run.py [--rounds 5] [--threads N] [--data SOURCE] [--only step|tutorial]

Sets up the peers' environment (about 3 GB) in target/peers on first use. Every round runs all sides once, one after the other; a
ratio is taken within a round, and the table shows the median of the rounds with their range.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target" / "peers"
PYTHON = FOLDER / "venv" / "bin" / "python"
BINARY = ROOT / "target" / "release" / "emo-runner"

# Height, width, steps a measurement, ReLU.
STEPS = [(150, 150, 40, False), (400, 500, 12, False), (150, 150, 30, True), (400, 500, 10, True)]
TUTORIAL = (200, 250, 3)


def main():
    options = parse()
    set_up_peers()
    bench = build()
    environment = os.environ | {
        "PEER_THREADS": str(options.threads),
        "RAYON_NUM_THREADS": str(options.threads),
        "OMP_NUM_THREADS": str(options.threads),
    }
    rows, names = [], {}
    if options.only != "tutorial":
        rows += [step_rows(work, bench, options.rounds, environment, names) for work in STEPS]
    if options.only != "step":
        rows.append(tutorial_row(options, environment, names))
    print_table(rows, names, options)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--data", default="builtin:faces", help="folder, ZIP archive or built-in source of the whole run")
    parser.add_argument("--only", choices=["step", "tutorial"])
    return parser.parse_args()


def set_up_peers():
    """A virtual environment with the pinned peers; made again when the pins change."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp = FOLDER / "requirements.installed"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    say("setting up Keras and PyTorch in target/peers (about 3 GB)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    call([sys.executable, "-m", "venv", str(FOLDER / "venv")])
    call([str(PYTHON), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")])
    stamp.write_text(wanted)


def build():
    """Builds the binary and the step benchmark; returns the benchmark's path."""
    say("building emo-runner")
    call(["cargo", "build", "--release"], cwd=ROOT)
    command = ["cargo", "bench", "--bench", "step", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(item["executable"] for item in built if item.get("target", {}).get("name") == "step" and item["executable"])


def step_rows(work, bench, rounds, environment, names):
    height, width, steps, relu = work
    arguments = [str(height), str(width), str(steps)] + (["relu"] if relu else [])
    sides = {
        "emo-runner": [bench, *arguments],
        "Keras": [str(PYTHON), str(HERE / "keras_step.py"), *arguments],
        "PyTorch": [str(PYTHON), str(HERE / "torch_step.py"), *arguments],
    }
    figures = {side: [] for side in sides}
    label = f"step, {'ReLU variant' if relu else 'published network'}, {height}x{width}"
    for number in range(rounds):
        for side, command in sides.items():
            result = last_json(command, environment)
            names[side] = result["peer"]
            figures[side].append(result["img_per_s"])
            say(f"{label}, round {number + 1} of {rounds}: {side} {result['img_per_s']:.1f} images/s")
    return label, "images/s", figures, lambda ours, theirs: ours / theirs


def tutorial_row(options, environment, names):
    """The whole run, from files to metrics, each side in a process of its own, our cache emptied before every run."""
    height, width, epochs = TUTORIAL
    folders = FOLDER / "data"
    subprocess.run(["rm", "-rf", str(folders), str(FOLDER / "source")], check=True)
    source = options.data
    if source.startswith("builtin:"):
        # Both sides read the same JPEG and PNG files.
        call([str(BINARY), "data", "unpack", source, "--to", str(FOLDER / "source")])
        source = str(FOLDER / "source")
    call([str(BINARY), "data", "split", source, "--to", str(folders)])
    experiment = FOLDER / "tutorial.toml"
    experiment.write_text(TUTORIAL_TOML.format(source=json.dumps(str(pathlib.Path(source).resolve())), height=height, width=width, epochs=epochs))
    figures, memory = {"emo-runner": [], "Keras": []}, {"emo-runner": [], "Keras": []}
    results = FOLDER / "results"
    arguments = [str(folders), str(height), str(width), str(epochs)]
    for number in range(options.rounds):
        subprocess.run(["rm", "-rf", str(results)], check=True)
        ours = [str(BINARY), "--db", str(results / "emo.db"), "run", str(experiment), "--threads", str(options.threads)]
        for side, command in [("emo-runner", ours), ("Keras", [str(PYTHON), str(HERE / "keras_tutorial.py"), *arguments])]:
            seconds, mebibytes, output = timed(command, environment)
            figures[side].append(seconds)
            memory[side].append(mebibytes)
            if side == "Keras":
                names[side] = json.loads(output.splitlines()[-1])["peer"]
            say(f"whole run, round {number + 1} of {options.rounds}: {side} {seconds:.1f} s, {mebibytes:.0f} MiB")
    for side, peaks in memory.items():
        say(f"peak memory of {side}: {statistics.median(peaks):.0f} MiB")
    label = f"whole run with augmentation, {height}x{width}, {epochs} epochs"
    return label, "s", figures, lambda ours, theirs: theirs / ours


TUTORIAL_TOML = """\
[data]
source = {source}
image_size = [{height}, {width}]
[augment]
rotation = 40.0
width_shift = 0.2
height_shift = 0.2
shear = 0.2
zoom = 0.2
horizontal_flip = true
[train]
epochs = {epochs}
"""


def print_table(rows, names, options):
    names.setdefault("emo-runner", subprocess.run([str(BINARY), "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    print()
    print(f"{datetime.date.today()}, {processor()}, {options.threads} threads each, {', '.join(names.values())}; medians of {options.rounds} rounds")
    print()
    print("| work | emo-runner | Keras | PyTorch | against Keras | against PyTorch |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label, unit, figures, ratio in rows:
        cells = [f"{statistics.median(figures[side]):.{0 if unit == 'images/s' else 1}f} {unit}" if side in figures else "" for side in ("emo-runner", "Keras", "PyTorch")]
        for side in ("Keras", "PyTorch"):
            ratios = [ratio(*pair) for pair in zip(figures["emo-runner"], figures.get(side, []))]
            cells.append(f"{statistics.median(ratios):.1f} x ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else "")
        print(f"| {label} | {' | '.join(cells)} |")


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def last_json(command, environment):
    output = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def timed(command, environment):
    """Seconds, peak memory in MiB (of the largest process) and the output of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss / 1024, output


def call(command, **options):
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
