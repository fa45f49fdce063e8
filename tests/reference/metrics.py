"""Figures of scikit-learn, statsmodels and SciPy for tests/metrics_equal_scikit_learn.rs: writes metrics.json.

The stored figures were made with the versions that the file itself names under "versions".
"""
import json
import pathlib

import numpy as np
import scipy
import scipy.stats
import sklearn
import sklearn.metrics as m
import statsmodels
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(7)


def case(name, labels, probabilities):
    y, p = np.asarray(labels, int), np.asarray(probabilities, float)
    call = (p >= 0.5).astype(int)
    precision, recall, f1, support = m.precision_recall_fscore_support(y, call, labels=[0, 1], zero_division=np.nan)
    none = lambda values: [None if np.isnan(v) else float(v) for v in values]
    fpr, tpr, thresholds = m.roc_curve(y, p, drop_intermediate=False)
    tn, fp, fn, tp = m.confusion_matrix(y, call, labels=[0, 1]).ravel().tolist()
    return dict(
        name=name, labels=y.tolist(), probabilities=p.tolist(), confusion=[tn, fp, fn, tp],
        accuracy=m.accuracy_score(y, call), precision=none(precision), recall=none(recall), f1=none(f1),
        support=support.tolist(), auc=m.roc_auc_score(y, p), fpr=fpr.tolist(), tpr=tpr.tolist(),
        thresholds=[None if np.isinf(t) else float(t) for t in thresholds],
        log_loss=m.log_loss(y, p, labels=[0, 1]), brier=m.brier_score_loss(y, p),
    )


def noisy(n, share, spread):
    y = (rng.random(n) < share).astype(int)
    return y, 1 / (1 + np.exp(-(y - 0.5) * 2 - rng.normal(0, spread, n)))


y, p = noisy(200, 0.53, 1.5)
cases = [
    case("balanced", y, p),
    case("ties", y, np.round(p, 1)),
    case("imbalanced", *noisy(150, 0.08, 1.0)),
    case("perfect", y, np.where(y == 1, 0.9, 0.1)),
    case("inverted", y, 1 - p),
    case("constant", y, np.full(len(y), 0.5)),
    case("never called 1", y, p * 0.4),
    case("tiny", [0, 1, 1], [0.2, 0.2, 0.7]),
    case("certain and wrong", [0, 1, 1, 0], [1.0, 0.0, 1.0, 0.0]),
]
counts = [(0, 1), (1, 1), (1, 2), (180, 325), (171, 325), (5, 10), (999, 1000), (1, 100000), (50000, 100000)]
wilson = [[k, n, c, *map(float, proportion_confint(k, n, alpha=1 - c, method="wilson"))]
          for k, n in counts for c in (0.9, 0.95, 0.99)]
pairs = [(0, 0), (1, 0), (0, 5), (29, 20), (20, 29), (3, 17), (60, 30), (700, 600), (2500, 2300), (40, 40)]
mcnemar_p = [[b, c, float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)] for b, c in pairs]
quantiles = [[q, float(scipy.stats.norm.ppf(q))] for q in (1e-12, 1e-5, 0.01, 0.05, 0.3, 0.5, 0.7, 0.95, 0.975, 0.999999)]
binomial = float(scipy.stats.binomtest(180, 325, 171 / 325, alternative="greater").pvalue)
out = dict(
    versions=dict(numpy=np.__version__, scipy=scipy.__version__, sklearn=sklearn.__version__, statsmodels=statsmodels.__version__),
    cases=cases, wilson=wilson, mcnemar=mcnemar_p, quantiles=quantiles, published_one_sided_binomial=binomial,
)
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out, separators=(",", ":")))
print(path.stat().st_size, out["versions"], binomial, mcnemar_p[3])
