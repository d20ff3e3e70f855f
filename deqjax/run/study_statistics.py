"""The statistics of a study: means, bootstrap intervals, and paired comparisons with the baseline."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deqjax.run.study_settings import Study

METRICS = ("PSNR", "SSIM", "NMSE", "VIF", "HFEN", "phase error", "magnitude bias")
ZERO_FILLED = "zero-filled"

RESAMPLES, COVERAGE = 2000, 0.95
"""The number of bootstrap samples, and the coverage of the intervals."""

Key = tuple[str, ...]
"""The levels of the axes that are not pooled."""


@dataclass(frozen=True)
class Observation:
    """One metric of one image in one cell."""

    levels: Mapping[str, str]
    metric: str
    image: str
    value: float


def observations(results: Sequence[Mapping[str, Any]], study: Study) -> list[Observation]:
    """Turn the results of cells into observations; the zero-filled images count as one more method.

    The zero-filled images are those of the cells with the baseline. Their level of the axis of the baseline, and of all
    training axes, is ``zero-filled``.
    """
    axis, level = study.baseline
    found = []
    for result in results:
        levels = result["levels"]
        start = dict(levels) | dict.fromkeys((*study.train, axis), ZERO_FILLED)
        for row in result[study.unit]:
            for metric in METRICS:
                if metric in row:
                    found.append(Observation(levels, metric, row["volume"], row[metric]))
                    if levels[axis] == level:
                        found.append(Observation(start, metric, row["volume"], row[f"{metric} {ZERO_FILLED}"]))
    return found


def summarise(found: Sequence[Observation], study: Study) -> list[dict[str, Any]]:
    """Summarise observations: one row for every combination of levels that are not pooled, and every metric.

    The values of an image are first averaged over the pooled axes, so that seeds do not count as images. The columns
    are the levels; the ``metric``; the number ``n`` of images; their ``mean`` and ``deviation`` (ddof 1); the bootstrap
    interval ``low`` to ``high`` of the mean; and ``spread``, the standard deviation over the pooled axes of the mean
    over the images. The following compare with the baseline on the same images: the mean ``difference``, its bootstrap
    interval, ``agree``, in how many of the pooled runs the difference has the sign of the mean difference, the ``p`` of
    Wilcoxon's signed-rank test, and ``p adjusted`` for the number of comparisons with this metric.

    Source: Efron 1979, Bootstrap methods, Annals of Statistics 7:1 (percentile interval); Wilcoxon 1945, Individual
    comparisons by ranking methods, Biometrics Bulletin 1:80; Benjamini and Hochberg 1995, Controlling the false
    discovery rate, J. R. Statist. Soc. B 57:289.
    """
    axes = [axis for axis in (*study.train, *study.evaluate) if axis not in study.pooled]
    groups: dict[tuple[Key, str], dict[str, dict[Key, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in found:
        key = tuple(one.levels[axis] for axis in axes)
        run = tuple(one.levels[axis] for axis in study.pooled if axis in one.levels)
        groups[key, one.metric][one.image][run] = one.value
    axis, level = study.baseline
    place = axes.index(axis)
    rows = []
    for (key, metric), images in groups.items():
        values = np.array([np.mean(list(runs.values())) for runs in images.values()])
        low, high = interval(values)
        row: dict[str, Any] = dict(zip(axes, key))
        row |= {"metric": metric, "n": len(values), "mean": float(values.mean())}
        row |= {"deviation": deviation(values), "low": low, "high": high, "spread": deviation(_run_means(images))}
        reference = _reference(key, place, level, study, axes)
        if reference != key and (reference, metric) in groups:
            row |= compare(images, groups[reference, metric])
        rows.append(row)
    return _adjusted(rows)


def compare(images: Mapping[str, Mapping[Key, float]], others: Mapping[str, Mapping[Key, float]]) -> dict[str, Any]:
    """Compare the values of images, by image and run, with those of the baseline."""
    from scipy.stats import wilcoxon  # half a second of the import of deqjax

    both = [image for image in images if image in others]
    if not both:
        return {}
    differences = np.array([np.mean(list(images[i].values())) - np.mean(list(others[i].values())) for i in both])
    low, high = interval(differences)
    difference = float(differences.mean())
    runs = [run for run in images[both[0]] if run in others[both[0]]]
    signs = [
        np.mean([images[i][run] - others[i][run] for i in both if run in images[i]]) * difference > 0 for run in runs
    ]
    row: dict[str, Any] = {"difference": difference, "difference low": low, "difference high": high}
    row |= {"agree": f"{sum(signs)} of {len(signs)}"} if len(signs) > 1 else {}
    if not np.isfinite(differences).all():
        return row
    return row | {"p": float(wilcoxon(differences).pvalue) if differences.any() else 1.0}


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean, with a fixed seed.

    >>> interval(np.array([1.0, 1.0, 1.0]))
    (1.0, 1.0)
    """
    if not np.isfinite(values).all():
        return float("nan"), float("nan")
    chosen = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(values[chosen].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation (ddof 1), and 0 of a single value.

    >>> deviation(np.array([1.0, 3.0])), deviation(np.array([1.0]))
    (1.4142135623730951, 0.0)
    """
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _run_means(images: Mapping[str, Mapping[Key, float]]) -> np.ndarray:
    runs: dict[Key, list[float]] = defaultdict(list)
    for values in images.values():
        for run, value in values.items():
            runs[run].append(value)
    return np.array([np.mean(values) for values in runs.values()])


def _reference(key: Key, place: int, level: str, study: Study, axes: Sequence[str]) -> Key:
    """Return the levels of the baseline of a group; that of zero-filled images has the first training levels."""
    if key[place] != ZERO_FILLED:
        return (*key[:place], level, *key[place + 1 :])
    first = {axis: next(iter(levels)) for axis, levels in study.train.items()} | {axes[place]: level}
    return tuple(first.get(axis, old) for axis, old in zip(axes, key))


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the p values that are adjusted for the number of comparisons with the same metric."""
    from scipy.stats import false_discovery_control

    for metric in METRICS:
        tested = [row for row in rows if row["metric"] == metric and "p" in row]
        if tested:
            for row, p in zip(tested, false_discovery_control([row["p"] for row in tested])):
                row["p adjusted"] = float(p)
    return rows
