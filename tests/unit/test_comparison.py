"""Comparison of methods: by hand, by its size under the null, by its coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cortune.encoding.comparison import (
    COLUMNS,
    cluster_interval,
    compare_methods,
    false_discovery_rate,
    sign_flip_p,
)
from cortune.errors import InputError

METHODS = ["untuned", "regression", "contrastive"]


def tables(r_by_unit, n_voxels=4):
    """Return (units, voxels) of {(subject, hemisphere, roi, method): mean r}."""
    keys = ["subject", "hemisphere", "roi", "method"]
    units = pd.DataFrame([[*key, r] for key, r in r_by_unit.items()], columns=[*keys, "r_mean"])
    voxels = pd.DataFrame(
        [[*key, v, r + 0.01 * v] for key, r in r_by_unit.items() for v in range(n_voxels)],
        columns=[*keys, "vertex", "r"],
    )
    return units, voxels


@pytest.fixture
def by_hand():
    r = {}
    gains = {  # contrastive less untuned
        ("s1", "lh", "V1v"): 0.10, ("s1", "rh", "V1v"): 0.20, ("s1", "lh", "FFA-1"): 0.00,
        ("s2", "lh", "V1v"): 0.30, ("s2", "lh", "FFA-1"): -0.10,
        ("s3", "lh", "V1v"): 0.40, ("s3", "lh", "early"): 0.90,
    }  # fmt: skip
    for unit, gain in gains.items():
        r[(*unit, "untuned")] = 0.2
        r[(*unit, "contrastive")] = 0.2 + gain
    r["s4", "lh", "V1v", "untuned"] = 0.5  # no partner: not a pair
    return tables(r)


def test_an_example_by_hand(by_hand):
    table = compare_methods(*by_hand, methods=METHODS)
    assert tuple(table.columns) == COLUMNS
    assert set(zip(table.method_a, table.method_b, strict=True)) == {("contrastive", "untuned")}
    rows = table.set_index(["level", "group"])
    early = rows.loc["group", "early"]
    # Within subjects: s1 .15, s2 .30, s3 .40; then over subjects.
    assert early.r_diff_mean == pytest.approx((0.15 + 0.30 + 0.40) / 3)
    assert (early.n_units, early.n_subjects) == (4, 3)
    assert early.p_least == 2 / 8 and np.isnan(early.p_value)  # none of 3 subjects says anything
    assert early.frac_voxels_a_better == 1.0
    assert np.isnan(early.q_value)
    higher = rows.loc["group", "higher"]
    assert higher.r_diff_mean == pytest.approx(-0.05)
    assert (higher.n_units, higher.n_subjects, higher.p_least) == (2, 2, 0.5)
    assert higher.frac_voxels_a_better == 0.0  # ties do not count
    together = rows.loc["group", "all"]
    assert together.r_diff_mean == pytest.approx((0.1 + 0.1 + 0.4) / 3)  # streams are not in it
    assert rows.loc["roi", "early"].n_units == 1
    assert rows.loc["roi", "early"].p_least == 1.0
    assert np.isnan(rows.loc["roi", "early"].ci_low)


def test_intervals_hold_the_mean_and_q_is_no_less_than_p(by_hand):
    six = {(s, "lh", r, m): np.random.default_rng(ord(s)).random() + (m != "untuned")
           for s in "abcdef" for r in ("V1v", "hV4") for m in METHODS}  # fmt: skip
    table = pd.concat([compare_methods(*by_hand, methods=METHODS),
                       compare_methods(*tables(six), methods=METHODS)])  # fmt: skip
    several = table[table.n_subjects > 1]
    assert (several.ci_low <= several.r_diff_mean).all()
    assert (several.ci_high >= several.r_diff_mean).all()
    rois = table[(table.level == "roi") & (table.n_subjects == 6)]
    assert (rois.q_value >= rois.p_value).all() and (rois.p_value >= rois.p_least).all()


def test_all_pairs_once_in_the_order_of_the_methods():
    rng = np.random.default_rng(0)
    r = {(s, "lh", "V1v", m): rng.random() for s in "ab" for m in METHODS}
    table = compare_methods(*tables(r), methods=METHODS)
    pairs = list(dict.fromkeys(zip(table.method_a, table.method_b, strict=True)))
    assert pairs == [
        ("regression", "untuned"),
        ("contrastive", "untuned"),
        ("contrastive", "regression"),
    ]


def test_voxels_without_r_do_not_count():
    units, voxels = tables(
        {("s", "lh", "V1v", m): r for m, r in zip(METHODS, (0, 1, 2), strict=True)}
    )
    voxels.loc[(voxels.vertex == 0) & (voxels.method == "contrastive"), "r"] = np.nan
    voxels.loc[(voxels.vertex == 1) & (voxels.method == "contrastive"), "r"] = -1.0
    table = compare_methods(units, voxels, methods=["untuned", "contrastive"])
    assert table.frac_voxels_a_better.tolist() == pytest.approx([2 / 3] * len(table))


def test_a_doubled_unit_is_refused(by_hand):
    units, voxels = by_hand
    with pytest.raises(InputError, match="twice"):
        compare_methods(pd.concat([units, units.iloc[:1]]), voxels, methods=METHODS)


def test_sign_flips_are_those_of_a_loop():
    d = np.array([0.3, -0.1, 0.25, 0.4])
    flips = np.array([np.dot(signs, d) for signs in product([-1, 1], repeat=4)])
    expected = np.mean(np.abs(flips) >= abs(d.sum()) - 1e-12)
    assert sign_flip_p(d, 10_000, 0) == expected
    assert sign_flip_p(np.stack([d, -d, 2 * d]), 10_000, 0).tolist() == [expected] * 3


def test_drawn_sign_flips_approach_the_enumeration_and_never_give_zero():
    d = np.random.default_rng(0).normal(0.3, 1, 10)
    assert sign_flip_p(d, 1000, 0) == pytest.approx(sign_flip_p(d, 2000, 0), abs=0.04)
    assert sign_flip_p(np.ones(30), 99, 0) == 1 / 100


def test_exact_for_symmetric_effects_and_not_for_skewed_ones():
    """What the docstring says of exponential effects of eight subjects."""
    effects = np.random.default_rng(4).exponential(size=(4000, 8)) - 1
    assert 0.085 < (sign_flip_p(effects, 2000, 0) <= 0.05).mean() < 0.11


@pytest.mark.parametrize("n_subjects", [6, 8, 14])
def test_size_under_the_null(n_subjects):
    """At most 5 % of null tables are called different, and not many fewer."""
    n_tables = 4000
    d = np.random.default_rng(1).standard_t(4, (n_tables, n_subjects))
    share = (sign_flip_p(d, 2000, 0) <= 0.05).mean()
    three_errors = 3 * np.sqrt(0.05 * 0.95 / n_tables)
    assert 0.03 - three_errors < share < 0.05 + three_errors


def test_size_of_the_whole_comparison_under_the_null():
    """600 null tables, as 600 ROIs that share subjects' units in both hemispheres."""
    rng, rois = np.random.default_rng(2), [f"roi{i}" for i in range(600)]
    r = {}
    for roi in rois:
        for subject in range(8):
            effect = rng.normal(0, 0.02)  # of the subject: clusters matter
            for hemisphere in ("lh", "rh"):
                r[subject, hemisphere, roi, "untuned"] = rng.normal(0.4, 0.01)
                r[subject, hemisphere, roi, "contrastive"] = effect + rng.normal(0.4, 0.01)
    table = compare_methods(*tables(r, n_voxels=1), methods=METHODS, groups={}, n_bootstrap=2000)
    assert len(table) == 600
    three_errors = 3 * np.sqrt(0.05 * 0.95 / 600)
    assert abs((table.p_value <= 0.05).mean() - 0.047) < three_errors  # 12 of 256 flips
    covered = (table.ci_low <= 0) & (table.ci_high >= 0)
    assert abs(covered.mean() - 0.95) < three_errors
    assert (table.q_value <= 0.05).sum() <= 1


@pytest.mark.parametrize(("n_subjects", "least"), [(2, 0.90), (3, 0.925), (8, 0.925)])
def test_interval_covers_with_few_subjects(n_subjects, least):
    rng = np.random.default_rng(3)
    intervals = np.array(
        [cluster_interval(rng.standard_normal(n_subjects), 1000, 0) for _ in range(1000)]
    )
    covered = (intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)
    assert least < covered.mean() < 0.97


def test_false_discovery_rate_is_scipys():
    p = np.random.default_rng(0).random(40) ** 3
    np.testing.assert_allclose(false_discovery_rate(p), stats.false_discovery_control(p))
    assert false_discovery_rate(np.array([])).size == 0
    found = false_discovery_rate(np.array([0.01, np.nan, 0.02]))
    np.testing.assert_allclose(found, [0.02, np.nan, 0.02])


def test_losses_are_compared_between_matched_recipes():
    """The published pair differs in optimizer, rate and passes as well, and says so."""
    methods = ["untuned", "regression", "regression_plus", "contrastive", "contrastive_plus"]
    r = {("s", "lh", "V1v", m): i for i, m in enumerate(methods)}
    table = compare_methods(*tables(r), methods=methods, groups={})
    found = {(row["method_b"], row["method_a"]): row["recipes"] for _, row in table.iterrows()}
    assert found["regression_plus", "contrastive_plus"] == "matched"
    assert found["regression", "contrastive"] == "unmatched"
    assert found["untuned", "contrastive"] == ""
