"""Tests that networks of one ROI, hemisphere, subject or method lie closer than chance.

The statistic is the mean distance between networks with the same label minus the mean
distance between networks with different ones. Tests of ROIs, hemispheres and methods exchange
the labels of whole subjects, ROI names, say, of all of a subject's networks at once: networks
of one subject share its images and responses and are not so many observations. A difference
between subjects can therefore not pass for one between ROIs, and few subjects allow few
arrangements. The test of subjects exchanges those of one hemisphere's ROI.

Networks of several methods or replicates of the same unit share its responses and would lie
close for that reason alone. Their labels move together, and their distances to one another do
not enter, except between methods in the test of methods. Pooled networks are tuned to responses
that other networks are tuned to as well, and are left out; so is what is tuned to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from cortune.landscape.dissimilarity import Floats, Ints
from cortune.landscape.inpca import checked_distance
from cortune.landscape.predictions import Model
from cortune.seeds import rng
from cortune.tuning.methods import POOLED, UNTUNED

if TYPE_CHECKING:
    import pandas as pd

UNIT = ("subject", "hemisphere", "roi")
FACTORS = ("roi", "hemisphere", "subject", "method")
COLUMNS = (
    "factor",
    "statistic",
    "null_mean",
    "p_value",
    "p_least",
    "n_permutations",
    "n_models",
    "n_subjects",
    "held_fixed",
    "n_arrangements",
    "reason",
)
_LEVEL = 0.05
_CHUNK = 1 << 22  # permutations x pairs of blocks held at once

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Closeness:
    """A permutation test that models of one label lie closer.

    Parameters
    ----------
    statistic : float
        Mean distance within labels minus between them; negative where they lie closer.
    null_mean : float
        Its mean over the permutations; not zero, because strata have labels of their own.
    p_value : float
        (1 + permutations no larger) / (1 + permutations), one-sided.
    """

    statistic: float
    null_mean: float
    p_value: float


def closeness_test(
    distance: Floats,
    labels: Sequence[str],
    strata: Sequence[object],
    blocks: Sequence[object],
    *,
    n_permutations: int,
    seed: int,
) -> Closeness | None:
    """Permute the labels of blocks of models within strata.

    Parameters
    ----------
    distance : array of shape (n_models, n_models)
    labels : sequence of str, length n_models
    strata, blocks : sequence, length n_models
        Of each model. All models of a block have one label and one stratum; distances
        within a block do not enter.
    n_permutations : int
    seed : int

    Returns
    -------
    Closeness or None
        None if no two models of different blocks share a label, or all do.
    """
    distance = checked_distance(distance)
    of_block, first = _numbered(blocks)
    members = np.eye(len(first))[of_block]  # (n_models, n_blocks)
    sums = members.T @ distance @ members
    counts = np.outer(members.sum(0), members.sum(0))
    np.fill_diagonal(sums, 0.0)
    np.fill_diagonal(counts, 0.0)
    label = _numbered(labels)[0][first]
    stratum = _numbered(strata)[0][first]
    observed = _within_minus_between(label[None], sums, counts)[0]
    if np.isnan(observed):
        return None
    random = rng(seed, "landscape", "closeness")
    step = max(1, _CHUNK // len(first) ** 2)
    null = np.concatenate(
        [
            _within_minus_between(permuted, sums, counts)
            for permuted in _permutations(label, stratum, n_permutations, step, random)
        ]
    )
    tie = 1e-9 * np.abs(distance).max()  # rounding must not break ties
    p_value = (1 + np.count_nonzero(null <= observed + tie)) / (1 + n_permutations)
    return Closeness(float(observed), float(null.mean()), float(p_value))


def _permutations(
    label: Ints, stratum: Ints, n_permutations: int, step: int, random: np.random.Generator
) -> Iterator[Ints]:
    """Yield (at most `step`, n_blocks) permutations of labels within strata."""
    by_stratum = np.argsort(stratum, kind="stable")
    for at in range(0, n_permutations, step):
        keys = stratum + random.random((min(step, n_permutations - at), len(label)))
        permuted = np.empty(keys.shape, dtype=label.dtype)
        permuted[:, by_stratum] = label[np.argsort(keys, axis=1)]
        yield permuted


def _within_minus_between(labels: Ints, sums: Floats, counts: Floats) -> Floats:
    """Return the statistic of each row of labels, NaN where a side has no pair."""
    same = (labels[:, :, None] == labels[:, None, :]).reshape(len(labels), -1)
    within, n_within = same @ sums.ravel(), same @ counts.ravel()
    n_between = counts.sum() - n_within
    defined = (n_within > 0) & (n_between > 0)
    difference: Floats = np.full(len(labels), np.nan)
    np.subtract(
        within / np.where(defined, n_within, 1),
        (sums.sum() - within) / np.where(defined, n_between, 1),
        out=difference,
        where=defined,
    )
    return difference


def closeness_by_factor(
    distance: Floats, models: Sequence[Model], *, n_permutations: int, seed: int
) -> pd.DataFrame:
    """Test every factor of the tuned networks.

    Subjects are exchanged within strata of hemisphere and ROI. Where no stratum has two, as
    with one ROI per subject, fewer others are held fixed, and the table says which.

    Parameters
    ----------
    distance : array of shape (n_models, n_models)
    models : sequence of Model, length n_models
        Untuned, pooled and reference models are left out here.
    n_permutations : int
    seed : int

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`, one row per factor of :data:`FACTORS`. ``n_arrangements``
        is the number of labellings that differ by more than names, and ``p_least`` one over
        it. Where that is above .05, or there is nothing to test, ``p_value`` is empty and
        ``reason`` says why.
    """
    import pandas as pd

    kept = [i for i, model in enumerate(models) if is_of_one_unit(model)]
    n_subjects = len({models[i].subject for i in kept})
    rows = []
    for factor in FACTORS:
        row: dict[str, Any] = {"factor": factor, "n_models": len(kept), "n_subjects": n_subjects}
        row |= _test_factor(
            distance[np.ix_(kept, kept)],
            [models[i] for i in kept],
            factor,
            n_permutations=n_permutations,
            seed=seed,
        )
        if "reason" in row:
            _log.warning("No test of closeness by %s: %s.", factor, row["reason"])
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def is_of_one_unit(model: Model) -> bool:
    """Return whether a model was tuned to the responses of one unit alone."""
    named = all(getattr(model, key) for key in (*UNIT, "method"))
    return named and model.method not in (UNTUNED, *POOLED)


def _test_factor(
    distance: Floats, models: Sequence[Model], factor: str, *, n_permutations: int, seed: int
) -> dict[str, Any]:
    labels = _values(models, [factor])
    if len(set(labels)) < 2:
        return {"reason": f"{len(set(labels))} label(s), and it needs two"}
    whole = factor != "subject"
    blocks = _values(models, ("subject", factor) if whole else UNIT)
    first = _numbered(blocks)[1]
    for held in [("subject",)] if whole else _subsets(UNIT[1:]):
        strata = _values(models, held)
        arrangements = n_arrangements([labels[i] for i in first], [strata[i] for i in first])
        if arrangements > 1:
            break
    result = closeness_test(
        distance,
        ["/".join(label) for label in labels],
        strata,
        blocks,
        n_permutations=n_permutations,
        seed=seed,
    )
    if result is None:
        return {"reason": f"no two {'subjects' if whole else 'units'} share a label"}
    least = max(1 / arrangements, 1 / (1 + n_permutations))
    row = {
        "statistic": result.statistic,
        "null_mean": result.null_mean,
        "p_value": result.p_value,
        "p_least": least,
        "n_permutations": n_permutations,
        "held_fixed": " ".join(held),
        "n_arrangements": arrangements,
    }
    if least > _LEVEL:
        row |= {"p_value": np.nan, "reason": f"p would be {least:.2g} at the least"}
    return row


def n_arrangements(labels: Sequence[object], strata: Sequence[object]) -> float:
    """Return in how many ways labels can be exchanged within strata, up to renaming all."""
    from scipy.special import gammaln

    logarithm = renaming = 0.0
    stratum, label = np.asarray(_numbered(strata)[0]), np.asarray(_numbered(labels)[0])
    for each in np.unique(stratum):
        counts = np.bincount(label[stratum == each])
        logarithm += gammaln(counts.sum() + 1) - gammaln(counts + 1).sum()
        renaming = max(renaming, gammaln((counts > 0).sum() + 1))
    return float(np.round(np.exp(np.clip(logarithm - renaming, 0.0, 700.0))))


def average_linkage(distance: Floats) -> Floats:
    """Cluster models hierarchically by their mean distance (UPGMA).

    Parameters
    ----------
    distance : array of shape (n_models, n_models)
        Any dissimilarity; Ward's criterion would need a Euclidean one.

    Returns
    -------
    array of shape (n_models - 1, 4)
        As :func:`scipy.cluster.hierarchy.linkage`, similar leaves next to each other.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    condensed = squareform(checked_distance(distance), checks=False)
    # Ordering the leaves takes time that grows with the cube of their number.
    tree: Floats = linkage(condensed, "average", optimal_ordering=len(distance) <= 500)
    return tree


def _values(models: Sequence[Model], keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(getattr(model, key) for key in keys) for model in models]


def _subsets(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield subsets, the largest first."""
    for size in range(len(keys), -1, -1):
        yield from combinations(keys, size)


def _numbered(values: Sequence[object]) -> tuple[Ints, Ints]:
    """Return the number of each value in order of appearance, and where each comes first."""
    numbers: dict[object, int] = {}
    codes = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.intp)
    first = np.array([values.index(value) for value in numbers], dtype=np.intp)
    return codes, first
