"""Figures of pROC, SciPy, statsmodels and scikit-learn for tests/honest_numbers.rs: writes honest.json. Needs R with pROC and jsonlite."""
import json
import os
import pathlib
import subprocess

import numpy as np
import scipy
import scipy.integrate
import scipy.stats
import sklearn
import sklearn.metrics as m
import statsmodels
from sklearn.calibration import calibration_curve
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(11)
here = pathlib.Path(__file__).parent


def case(n, share, spread, digits=None):
    y = (rng.random(n) < share).astype(int)
    a, b = (1 / (1 + np.exp(-(y - 0.5) * k - rng.normal(0, spread, n))) for k in (1.5, 2.5))
    b = 0.5 * a + 0.5 * b
    return [np.round(v, digits).tolist() if digits else v.tolist() for v in (y, a, b)]


raw = [case(200, 0.53, 1.5), case(150, 0.1, 1.0), case(300, 0.5, 3.0), case(80, 0.5, 1.0, 1), case(400, 0.6, 0.5)]
os.chdir(here)
json.dump([dict(labels=y, first=a, second=b) for y, a, b in raw], open("honest_cases.json", "w"))
subprocess.run(["Rscript", "honest.R"], check=True)
proc = json.load(open("honest_proc.json"))
cases = []
for (y, a, b), r in zip(raw, proc):
    labels, p = np.array(y), np.array(b)
    precision, recall, thresholds = m.precision_recall_curve(labels, p, drop_intermediate=False)
    edges = np.linspace(0, 1, 16)
    bins = np.minimum((p * 15).astype(int), 14)
    filled = [k for k in range(15) if (bins == k).any()]
    ece = sum((bins == k).mean() * abs(p[bins == k].mean() - labels[bins == k].mean()) for k in filled)
    frequency, probability = calibration_curve(labels, p, n_bins=15, strategy="uniform")
    fpr, tpr, cut = m.roc_curve(labels, p, drop_intermediate=False)
    cases.append(dict(
        labels=y, first=a, second=b, proc=r, average_precision=m.average_precision_score(labels, p),
        precision=precision[:-1].tolist(), recall=recall[:-1].tolist(), thresholds=thresholds.tolist(),
        brier=m.brier_score_loss(labels, p), ece=float(ece), frequency=frequency.tolist(), probability=probability.tolist(),
        youden=float(np.max(tpr - fpr)),
    ))
values = rng.normal(0.75, 0.03, 10)
t_intervals = [[v.tolist(), list(scipy.stats.t.interval(0.95, len(v) - 1, v.mean(), scipy.stats.sem(v)))]
               for v in (values[:2], values[:3], values, rng.normal(0, 1, 40))]


def corrected(d, ratio):
    """Nadeau and Bengio 2003, equation 6, with SciPy's t distribution."""
    k, mean, var = len(d), d.mean(), d.var(ddof=1)
    error = np.sqrt((1 / k + ratio) * var)
    half = scipy.stats.t.ppf(0.975, k - 1) * error
    return [d.tolist(), ratio, mean - half, mean + half, mean / error, 2 * scipy.stats.t.sf(abs(mean / error), k - 1)]


folds = [corrected(rng.normal(mu, 0.02, k), 1 / (k - 1)) for mu, k in ((0.0, 5), (0.03, 5), (0.02, 10), (-0.05, 3))]
holm = [[p, multipletests(p, method="holm")[1].tolist()]
        for p in ([0.01, 0.04, 0.03], [0.2], [0.5, 0.9, 0.001, 0.04, 0.012], rng.random(20).tolist(), [0.02] * 5)]
maxima = [[n, scipy.integrate.quad(lambda z: n * z * scipy.stats.norm.pdf(z) * scipy.stats.norm.cdf(z) ** (n - 1), -12, 12, epsabs=1e-13,
                                   limit=500)[0]] for n in (2, 3, 5, 12, 50, 1000, 100000)]


def power(n, disagreement, difference):
    """Exact power of the exact McNemar test: over the number of disagreements, which is binomial itself."""
    total, better = 0.0, 0.5 + 0.5 * difference / disagreement
    for number in range(1, n + 1):
        weight = scipy.stats.binom.pmf(number, n, disagreement)
        k = np.arange(number + 1)
        p = np.minimum(1, 2 * scipy.stats.binom.cdf(np.minimum(k, number - k), number, 0.5))
        total += weight * scipy.stats.binom.pmf(k, number, better)[p < 0.05].sum()
    return total


def best(models, n, rate, right):
    k = np.arange(n + 1)
    cdf = np.exp(models * scipy.stats.binom.logcdf(k, n, rate))
    mean, high = (1 - cdf).sum() / n, k[np.argmax(cdf >= 0.95)] / n
    return [models, n, rate, right, mean, high, -np.expm1(models * np.log1p(-scipy.stats.binom.sf(right - 1, n, rate)))]


powers = [[n, d, e, power(n, d, e)] for n, d, e in ((325, 0.2, 0.0), (325, 0.2, 0.07), (100, 0.3, 0.2), (1629, 0.2, 0.03), (40, 0.1, 0.1))]
smallest = [[n, next(2 * b - n for b in range(n // 2, n + 1) if scipy.stats.binomtest(b, n, 0.5).pvalue < 0.05)] for n in range(6, 400, 7)]
selected = [best(*row) for row in ((50, 325, 0.53, 190), (1, 325, 0.526, 180), (1000, 80, 0.5, 55), (3, 20, 0.9, 20))]
json.dump(dict(
    versions=dict(scipy=scipy.__version__, sklearn=sklearn.__version__, statsmodels=statsmodels.__version__, pROC=proc[0]["version"]),
    cases=cases, t_intervals=t_intervals, corrected=folds, holm=holm, maxima=maxima, powers=powers, smallest=smallest, selected=selected,
), open("honest.json", "w"))
for name in ("honest_cases.json", "honest_proc.json"):
    os.remove(name)
