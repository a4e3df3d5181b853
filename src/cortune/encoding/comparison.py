"""Comparison of tuning methods: paired over units, subjects as clusters.

A unit is one ROI of one hemisphere of one subject. The difference between two methods is
averaged over units within a subject, then over subjects; subjects are what is resampled
and what is flipped, because units of one subject share images, scanner noise and, for
pooled methods, networks.

With as few subjects as this field has, two usual statistics mislead, and this module
does otherwise:

* A percentile cluster bootstrap is far too narrow. Of nominal 95 % intervals around the
  mean of normal subject effects, 51 % held the truth with 2 subjects, 75 % with 3 and
  90 % with 8 (3000 simulations each). The deviations of the bootstrap are therefore
  stretched by sqrt(S / (S - 1)) t(S - 1) / z, after which 93 %, 95 % and 95 % did (88 to
  89 % for exponential effects, as for a t interval).
* A sign-flip test of S subjects has 2^S outcomes, so its two-sided p cannot fall below
  2^(1 - S): .25 with 3 subjects, .0078 with 8. Where that is above .05 no p is given, for
  none could say anything; it is not traded for a parametric p that looks better. The test
  is exact for effects that are symmetric around their mean. Skewed ones cost it: of
  exponential effects of 8 subjects .097 were called different at .05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from cortune.data.rois import GROUPS
from cortune.encoding.scores import Floats
from cortune.errors import InputError
from cortune.seeds import rng
from cortune.tuning.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "level",
    "group",
    "method_a",
    "method_b",
    "recipes",
    "n_units",
    "n_subjects",
    "r_diff_mean",
    "ci_low",
    "ci_high",
    "p_value",
    "p_least",
    "q_value",
    "frac_voxels_a_better",
)
UNIT = ["subject", "hemisphere", "roi"]
_LEVEL = 0.05
_CHUNK = 1 << 22  # sign flips x tables held at once


def compare_methods(
    units: pd.DataFrame,
    voxels: pd.DataFrame,
    *,
    methods: Sequence[str],
    groups: Mapping[str, Sequence[str]] = GROUPS,
    n_bootstrap: int = 10_000,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare all pairs of methods by group of ROIs and by ROI.

    Parameters
    ----------
    units : DataFrame
        One row per unit and method, of one data set and protocol: ``subject``,
        ``hemisphere``, ``roi``, ``method``, ``r_mean``.
    voxels : DataFrame
        One row per voxel of a unit and method: the same keys, ``vertex`` and ``r``.
    methods : sequence of str
        In the order of the configuration. Of each pair, `method_a` is the later one.
    groups : mapping of str to sequence of str
        ROIs of each group.
    n_bootstrap, n_permutations : int
        Resamples of subjects; sign flips, all of them if there are no more than this.
    seed : int

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`, one row per pair and group (``level`` is ``group``) and per
        pair and ROI (``level`` is ``roi``), with what :func:`over_subjects` says.
        ``q_value`` is the Benjamini-Hochberg false discovery rate over the ROIs of a pair
        that have a p, empty for groups. A voxel counts as better for its r being higher; ties
        and voxels without r do not count.

    Raises
    ------
    InputError
        If a unit has a method twice.
    """
    import pandas as pd

    r_mean = _by_method(units, UNIT, "r_mean")
    r_voxel = _by_method(voxels, [*UNIT, "vertex"], "r")
    rois = sorted(set(r_mean.index.get_level_values("roi")))
    members = [("group", name, set(of)) for name, of in groups.items()]
    members += [("roi", roi, {roi}) for roi in rois]
    rows: list[dict[str, Any]] = []
    present = [method for method in methods if method in r_mean]
    for b, a in combinations(present, 2):
        pair = []
        for level, group, of in members:
            units_in = r_mean[r_mean.index.isin(of, level="roi")]
            difference = (units_in[a] - units_in[b]).dropna()
            if difference.empty:
                continue
            by_subject = difference.groupby(level="subject", sort=True).mean().to_numpy()
            gain = (r_voxel[a] - r_voxel[b])[r_voxel.index.isin(of, level="roi")]
            compared = gain.notna() & (gain != 0)
            pair.append(
                {
                    "level": level,
                    "group": group,
                    "method_a": a,
                    "method_b": b,
                    "recipes": _recipes(a, b),
                    "n_units": len(difference),
                    "r_diff_mean": by_subject.mean(),
                    **over_subjects(by_subject, n_bootstrap, n_permutations, seed),
                    "frac_voxels_a_better": (gain[compared] > 0).mean(),
                }
            )
        by_roi = [row for row in pair if row["level"] == "roi"]
        q_values = false_discovery_rate(np.array([row["p_value"] for row in by_roi]))
        for row, q_value in zip(by_roi, q_values.tolist(), strict=True):
            row["q_value"] = q_value
        rows += pair
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _recipes(a: str, b: str) -> str:
    """Return whether two methods follow one recipe; empty where one tunes nothing."""
    sections = [METHODS[name].section for name in (a, b)]
    if None in sections:
        return ""
    return "matched" if sections[0] == sections[1] else "unmatched"


def _by_method(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return `value` with a row per unit (or voxel) and a column per method."""
    twice = table.duplicated([*keys, "method"])
    if twice.any():
        first = table.loc[twice, [*keys, "method"]].iloc[0].to_dict()
        raise InputError(
            "comparison of methods",
            f"{first} twice",
            "one row per unit and method",
            "Pass the rows of one data set and one protocol.",
        )
    return table.pivot(index=keys, columns="method", values=value)


def over_subjects(
    by_subject: Floats, n_bootstrap: int, n_permutations: int, seed: int
) -> dict[str, float]:
    """Return what subjects say of a mean over them, as columns of a table.

    Parameters
    ----------
    by_subject : array of shape (n_subjects,)
    n_bootstrap, n_permutations, seed : int

    Returns
    -------
    columns : dict
        ``n_subjects``; ``ci_low`` and ``ci_high`` (:func:`cluster_interval`); ``p_value``
        (:func:`sign_flip_p`), NaN where even ``p_least``, the smallest that so many subjects
        can give, is above .05.
    """
    low, high = cluster_interval(by_subject, n_bootstrap, seed)
    least = max(2.0 ** (1 - by_subject.size), 1 / (1 + n_permutations))
    tested = least <= _LEVEL
    return {
        "n_subjects": by_subject.size,
        "ci_low": low,
        "ci_high": high,
        "p_value": float(sign_flip_p(by_subject, n_permutations, seed)) if tested else np.nan,
        "p_least": least,
    }


def cluster_interval(by_subject: Floats, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of a mean over subjects by a small-sample bootstrap.

    Parameters
    ----------
    by_subject : array of shape (n_subjects,)

    Returns
    -------
    low, high : float
        Around the mean by construction; NaN for a single subject.
    """
    from scipy import stats

    n = by_subject.size
    if n < 2:
        return np.nan, np.nan
    draws = rng(seed, "comparison", "bootstrap", n).multinomial(
        n, np.full(n, 1 / n), size=n_bootstrap
    )
    mean = by_subject.mean()
    low, high = np.quantile(draws @ by_subject / n - mean, [0.025, 0.975])
    stretch = np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
    return mean + stretch * min(low, 0.0), mean + stretch * max(high, 0.0)


def sign_flip_p(by_subject: Floats, n_permutations: int, seed: int) -> Floats:
    """Return the two-sided p of a mean over subjects by flipping signs of subjects.

    Parameters
    ----------
    by_subject : array of shape (..., n_subjects)
        Any number of tables at once.
    n_permutations : int
        If 2^n_subjects is no more than this, all flips are enumerated; else so many are
        drawn and p = (1 + extreme) / (1 + n_permutations). Either way the test is exact for
        symmetric effects alone.
    seed : int

    Returns
    -------
    p : array of shape (...)
    """
    n = by_subject.shape[-1]
    exact = n < 63 and 2**n <= n_permutations
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = rng(seed, "comparison", "sign flips", n).choice([-1.0, 1.0], (n_permutations, n))
    observed = np.abs(by_subject.sum(axis=-1)) * (1 - 1e-9)  # rounding must not break ties
    flat = by_subject.reshape(-1, n)
    step = max(1, _CHUNK // len(signs))
    extreme = np.concatenate(
        [
            (np.abs(signs @ flat[at : at + step].T) >= observed.reshape(-1)[at : at + step]).sum(0)
            for at in range(0, len(flat), step)
        ]
    ).reshape(observed.shape)
    p: Floats = extreme / len(signs) if exact else (1 + extreme) / (1 + len(signs))
    return p


def false_discovery_rate(p: Floats) -> Floats:
    """Return Benjamini-Hochberg adjusted p values (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p : array of shape (n_tests,)
        NaN where there is no test: it does not count, and neither has it a rate.
    """
    from scipy import stats

    q: Floats = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested])
    return q
