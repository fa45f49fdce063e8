"""Promise: what `export` writes is opened by the tools it is for, every run, metric and step of it.

    python tests/tools/exports.py PATH/TO/emo-runner [--pytorch]

Needs what tests/tools/requirements.txt names.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

os.environ.setdefault("KERAS_BACKEND", "jax")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))
WITH_PYTORCH = "--pytorch" in sys.argv and not sys.argv.remove("--pytorch")
BINARY = str(pathlib.Path(sys.argv.pop(1)).resolve())

EXPERIMENT = """
name = "{name}"
[data]
source = "pictures"
image_size = [18, 20]
[split]
validation = 0.25
[model]
conv = [[4], [6]]
kernel = 3
stride = 1
{model}
dense = [8]
[train]
epochs = 3
batch_size = 8
"""
SWEEP = """
[sweep]
repeats = 2
[sweep.axes]
"model.activation" = ["linear", "relu"]
"train.learning_rate" = [1e-3, 1e-2]
"""
MODELS = {
    "plain": "",
    "same_norm": 'padding = "same"\nbatch_norm = true\nactivation = "relu"',
    **{name: f'activation = "{name}"' for name in ("leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid")},
}


def runner(*arguments):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def pictures():
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(5)
    for label in ("Negative", "Positive"):
        folder = pathlib.Path("pictures", label)
        folder.mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(0, 120, (18, 20, 3), dtype=np.uint8)
            if label == "Positive":
                pixels[5:13, 6:14] += 100
            Image.fromarray(pixels).save(folder / f"{number}.png")


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        os.chdir(cls.folder.name)
        pictures()
        pathlib.Path("sweep.toml").write_text(EXPERIMENT.format(name="sweep", model="") + SWEEP)
        runner("sweep", "sweep.toml")
        for name, model in MODELS.items():
            pathlib.Path(f"{name}.toml").write_text("seed = 9\n" + EXPERIMENT.format(name=name, model=model))
            runner("run", f"{name}.toml")
        cls.runs = json.loads(runner("report", "--json"))
        cls.details = {run["id"]: json.loads(runner("show", run["id"], "--json")) for run in cls.runs}

    @classmethod
    def tearDownClass(cls):
        os.chdir("/")
        cls.folder.cleanup()

    def predictions(self, name):
        lines = runner("predict", name, "pictures").splitlines()
        found = {line["image"]: line["probabilities"]["Positive"] for line in map(json.loads, lines)}
        self.assertEqual(len(found), 48)
        return found

    def equals_predictions(self, name, predict):
        import numpy as np
        from load_weights import load_image

        expected = self.predictions(name)
        images = np.stack([load_image(path, (18, 20)) for path in expected])
        np.testing.assert_allclose(predict(images), list(expected.values()), atol=1e-5, err_msg=name)

    def test_onnx_gives_the_same_probabilities(self):
        import onnxruntime

        for name in MODELS:
            [path] = runner("export", name, "--to", "onnx", "--out", "models").split()
            session = onnxruntime.InferenceSession(path)
            self.equals_predictions(name, lambda images: session.run(None, {"images": images})[0])

    def test_weights_give_the_same_probabilities_in_keras(self):
        import load_weights

        for name in MODELS:
            [path] = runner("export", name, "--to", "safetensors", "--out", "weights").split()
            self.equals_predictions(name, load_weights.for_keras(path))

    @unittest.skipUnless(WITH_PYTORCH, "asked for with --pytorch: it is two gigabytes, and Keras reads the same files")
    def test_weights_give_the_same_probabilities_in_pytorch(self):
        import load_weights

        for name in MODELS:
            [path] = runner("export", name, "--to", "safetensors", "--out", "weights").split()
            self.equals_predictions(name, load_weights.for_torch(path))

    def test_optuna_lists_every_trial(self):
        import optuna

        runner("export", "--where", "name = 'sweep'", "--to", "optuna", "--out", "study.db")
        study = optuna.load_study(study_name="sweep", storage="sqlite:///study.db")
        runs = [run for run in self.runs if run["name"] == "sweep"]
        self.assertEqual(len(study.trials), len(runs))
        self.assertEqual(study.direction, optuna.study.StudyDirection.MAXIMIZE)
        for trial, run in zip(study.trials, runs):
            self.assertEqual(trial.state, optuna.trial.TrialState.COMPLETE)
            self.assertEqual(trial.value, run["validation_auc"])
            self.assertEqual(trial.user_attrs["run"], run["id"])
            self.assertIn(f"activation={trial.params['activation']}", run["point"])
            self.assertEqual(sorted(trial.params), ["activation", "learning_rate"])
            epochs = self.details[run["id"]]["epochs"]
            self.assertEqual(trial.intermediate_values, {epoch["epoch"]: epoch["held_out_auc"] for epoch in epochs})
        self.assertEqual(study.best_value, max(run["validation_auc"] for run in runs))

    def test_tensorboard_reads_every_step(self):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        files = runner("export", "--to", "tensorboard", "--out", "logs").splitlines()
        self.assertEqual(len(files), len(self.runs))
        for file, run in zip(files, self.runs):
            log = EventAccumulator(str(pathlib.Path(file).parent)).Reload()
            epochs = self.details[run["id"]]["epochs"]
            for tag, get in (("loss/train", lambda e: e["train"]["loss"]), ("accuracy/validation", lambda e: e["held_out"]["accuracy"])):
                read = [(event.step, event.value) for event in log.Scalars(tag)]
                self.assertEqual([step for step, _ in read], [epoch["epoch"] for epoch in epochs])
                for (_, value), epoch in zip(read, epochs):
                    self.assertAlmostEqual(value, get(epoch), places=5)
            self.assertAlmostEqual(log.Scalars("result/accuracy")[0].value, run["accuracy"], places=5)

    def test_tables_hold_every_row(self):
        import csv

        import pyarrow.parquet

        runner("export", "--to", "parquet", "--out", "tables")
        runner("export", "--to", "csv", "--out", "tables")
        runner("export", "--to", "json", "--out", "tables/all.json")
        everything = json.loads(pathlib.Path("tables/all.json").read_text())
        self.assertEqual([run["summary"]["id"] for run in everything], [run["id"] for run in self.runs])
        epochs = sum(len(detail["epochs"]) for detail in self.details.values())
        predictions = sum(len(run["predictions"]) for run in everything)
        for name, rows in (("runs", len(self.runs)), ("epochs", epochs), ("predictions", predictions)):
            table = pyarrow.parquet.read_table(f"tables/{name}.parquet").to_pylist()
            with open(f"tables/{name}.csv", newline="") as file:
                lines = list(csv.DictReader(file))
            self.assertEqual((len(table), len(lines)), (rows, rows), name)
            for row, line in zip(table, lines):
                self.assertEqual(set(row), set(line))
                for key, value in row.items():
                    self.assertEqual(value, None if line[key] == "" and value is None else type(value)(line[key]), (name, key))
        known = set(self.runs[0]) - {"point_key"}
        self.assertEqual(set(pyarrow.parquet.read_schema("tables/runs.parquet").names), known, "no column is forgotten")

    def test_mlflow_lists_every_run(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                   "--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts"]
        with open("mlflow.log", "w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"{url}/health")
                    break
                except OSError:
                    time.sleep(1)
            self.sent_to_mlflow(url)
        finally:
            os.killpg(server.pid, 15)
            server.wait()

    def sent_to_mlflow(self, url):
        from mlflow import MlflowClient

        for _ in range(2):  # the second time changes nothing
            pages = runner("export", "--to", "mlflow", "--out", url).splitlines()
        self.assertEqual(len(pages), len(self.runs))
        client = MlflowClient(url)
        for page, run in zip(pages, self.runs):
            sent = client.get_run(page.rsplit("/", 1)[1])
            self.assertEqual(sent.info.status, "FINISHED")
            self.assertEqual(sent.data.params["train.epochs"], "3")
            self.assertEqual(sent.data.metrics["result_accuracy"], run["accuracy"])
            epochs = self.details[run["id"]]["epochs"]
            history = client.get_metric_history(sent.info.run_id, "train_loss")
            self.assertEqual([(m.step, m.value) for m in history], [(e["epoch"], e["train"]["loss"]) for e in epochs])
            files = {file.path for file in client.list_artifacts(sent.info.run_id)}
            self.assertLessEqual({"model.safetensors", "history.csv", "predictions.csv"}, files)
        experiment = client.get_experiment_by_name("sweep")
        self.assertEqual(len(client.search_runs([experiment.experiment_id])), 8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
