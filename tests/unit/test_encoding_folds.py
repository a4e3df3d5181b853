"""Plans fit, choose and score on the images they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortune.encoding.folds import (
    PROTOCOLS,
    Plan,
    Split,
    block_folds,
    fit_size,
    fit_test,
    heldout_cv,
    published,
    test_folds,
    tune_test,
)
from cortune.errors import InputError, LeakageError

SETS = {
    "tune": np.arange(50),
    "validation": np.arange(50, 60),
    "test": np.arange(60, 93),
    "fit": np.arange(93, 113),
}


@given(n=st.integers(15, 200), n_folds=st.integers(3, 5), seed=st.integers(0, 2**31))
def test_folds_are_disjoint_blocks_of_the_published_size(n, n_folds, seed):
    sets = {"test": np.arange(100, 100 + n)}
    found = test_folds(sets, n_folds, seed)
    assert [len(fold) for fold in found] == [int(n / n_folds)] * n_folds
    members = [i for fold in found for i in fold]
    assert len(set(members)) == len(members)
    assert set(members) <= set(sets["test"].tolist())
    for plan in (published(sets, n_folds, seed), heldout_cv(sets, n_folds, seed)):
        left_over = set(sets["test"].tolist()) - set(members)
        for split in plan.outer:
            assert set(split.fit) | set(split.score) == set(sets["test"].tolist())
            assert not set(split.fit) & set(split.score)
            assert left_over <= set(split.fit)


def test_folds_depend_on_the_seed_and_not_on_how_the_set_is_given():
    mask = np.zeros(93, dtype=bool)
    mask[60:] = True
    assert test_folds({"test": mask}, 5, 1) == test_folds({"test": SETS["test"][::-1]}, 5, 1)
    assert test_folds(SETS, 5, 1) != test_folds(SETS, 5, 2)


def test_nested_folds_never_see_the_fold_they_choose_for():
    plan = heldout_cv(SETS, 5, 0)
    assert not plan.optimistic
    for outer, inner in zip(plan.outer, plan.inner, strict=True):
        assert len(inner) == 4
        seen = {i for split in inner for i in (*split.fit, *split.score)}
        assert not seen & set(outer.score)
        assert seen == set(outer.fit)
        for split in inner:
            assert not set(split.fit) & set(split.score)


def test_nested_folds_share_their_decompositions():
    plan = heldout_cv(SETS, 5, 0)
    assert len({split.fit for split in plan.splits}) == 5 + 5 * 4 // 2
    both = plan.splits | published(SETS, 5, 0).splits
    assert len({split.fit for split in both}) == 15


def test_published_plan_chooses_on_the_scores_it_reports():
    plan = published(SETS, 5, 0)
    assert plan.optimistic
    assert all(inner == plan.outer for inner in plan.inner)


def test_tune_test_keeps_the_three_sets_apart():
    plan = tune_test(SETS, 5, 0)
    assert plan.outer == (Split(tuple(range(50)), tuple(range(60, 93))),)
    assert plan.inner == ((Split(tuple(range(50)), tuple(range(50, 60))),),)
    assert not plan.optimistic


def test_fit_test_chooses_within_its_own_images_and_scores_the_test_images():
    plan = fit_test(SETS, 5, 0)
    assert plan.outer == (Split(tuple(range(93, 113)), tuple(range(60, 93))),)
    assert sorted(i for split in plan.inner[0] for i in split.score) == list(range(93, 113))
    for split in plan.inner[0]:
        assert sorted((*split.fit, *split.score)) == list(range(93, 113))
    assert not plan.optimistic


def test_sizes_choose_within_the_subset():
    order = [9, 3, 1, 7, 5, 0, 2, 4, 6, 8]
    plan = fit_size(order, (20, 21, 22), 3)
    assert plan.outer == (Split(tuple(range(10)), (20, 21, 22)),)
    assert [split.score for split in plan.inner[0]] == [(1, 3, 9), (0, 5, 7), (2, 4, 6)]
    assert not plan.optimistic


def test_a_planted_leak_shows():
    plan = heldout_cv(SETS, 5, 0)
    leaking = Split((*plan.inner[0][0].fit, plan.outer[0].score[0]), plan.inner[0][0].score)
    assert Plan(plan.outer, ((leaking, *plan.inner[0][1:]), *plan.inner[1:])).optimistic


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_image_in_two_sets_is_a_leak(protocol):
    sets = {**SETS, "tune": [*range(50), 92]}
    with pytest.raises(LeakageError, match=r"1 images are in both .* at position 92"):
        PROTOCOLS[protocol](sets, 5, 0)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"test": []}, "no images"),
        ({}, "no images"),
        ({"test": [1, 1, 2]}, "1 images twice"),
    ],
)
def test_bad_sets_are_refused(sets, said):
    with pytest.raises(InputError, match=said):
        published(sets, 5, 0)


@pytest.mark.parametrize("protocol", [published, heldout_cv])
def test_too_few_images_or_folds_are_refused(protocol):
    with pytest.raises(InputError, match="5 folds of 2 images"):
        protocol({"test": np.arange(14)}, 5, 0)
    with pytest.raises(InputError, match=r"encoding\.folds"):
        protocol(SETS, 1, 0)


def test_nested_folds_need_three():
    with pytest.raises(InputError, match="at least 3 folds"):
        heldout_cv(SETS, 2, 0)
    assert len(block_folds(range(20), 2)) == 2
