"""Labels that cleanlab suspects, for tests/honest_numbers.rs: writes labels.json."""
import json
import pathlib

import cleanlab
import numpy as np
from cleanlab.filter import find_label_issues

rng = np.random.default_rng(3)
cases = []
for n, strength, noise in ((200, 1.0, 0.1), (500, 2.0, 0.05), (120, 0.5, 0.2), (300, 4.0, 0.15), (50, 6.0, 0.0)):
    truth = rng.integers(0, 2, n)
    labels = np.where(rng.random(n) < noise, 1 - truth, truth)
    p = 1 / (1 + np.exp(-(2 * truth - 1) * strength - rng.normal(0, 1, n)))
    found = find_label_issues(labels, np.c_[1 - p, p], filter_by="prune_by_noise_rate", return_indices_ranked_by="self_confidence")
    cases.append(dict(labels=labels.tolist(), probabilities=p.tolist(), found=found.tolist()))
path = pathlib.Path(__file__).with_name("labels.json")
path.write_text(json.dumps(dict(version=cleanlab.__version__, cases=cases)))
