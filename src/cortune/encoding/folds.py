"""Which images fit, select and score an encoding model: the protocols.

A :class:`Plan` names, for every fold, the images that fit the reported model, the images
that score it, and the splits whose mean score chooses its penalty and layer. The
protocols differ in nothing else:

``heldout_cv``
    k folds of the test images. Penalty and layer of a fold are chosen on the other
    k - 1 folds alone, each predicted from the images outside it and outside the scored
    fold. The decomposition of "all but folds i and j" serves fold i (validated on j) and
    fold j (validated on i).
``published``
    The same folds, but penalty (per voxel, over folds) and layer are chosen on the very
    scores that are reported, as in Mulrooney & Brockmeier (arXiv 2410.06067): optimistic,
    kept to compare with the published table.
``tune_test``
    Fit on the tuning images, choose on the validation images, score on the test images.
``fit_test``
    Fit on the images of ``fit``, which no network saw, choose in k folds of them, and score on
    the test images.

Folds are those of the published code: contiguous blocks of ``n // k`` images in one fixed
random order of the test images; the ``n % k`` images left over are always fitted and
never scored. ``heldout_cv`` shares them, so the difference between the two protocols is
selection alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from cortune.errors import InputError, LeakageError
from cortune.seeds import rng

Images = tuple[int, ...]
"""Positions of images, ascending."""

MIN_FOLD = 3


@dataclass(frozen=True)
class Split:
    """One model: the images it is fitted on and the images it is scored on."""

    fit: Images
    score: Images


@dataclass(frozen=True)
class Plan:
    """What is fitted, chosen and scored.

    Parameters
    ----------
    outer : tuple of Split
        The reported models, one per fold.
    inner : tuple of tuple of Split
        For every fold, the splits whose mean score chooses its penalty and layer.
    """

    outer: tuple[Split, ...]
    inner: tuple[tuple[Split, ...], ...]

    @property
    def splits(self) -> set[Split]:
        """Every model of the plan, once."""
        return set(self.outer).union(*self.inner)

    @property
    def without_two(self) -> tuple[tuple[Images, ...], ...]:
        """For every fold, the fit images of models without it and another fold that score it."""
        splits = self.splits
        return tuple(
            tuple(
                split.fit
                for split in inner
                if split.fit != outer.fit and Split(split.fit, outer.score) in splits
            )
            for outer, inner in zip(self.outer, self.inner, strict=True)
        )

    @property
    def optimistic(self) -> bool:
        """Whether an image that scores a fold also had a say in choosing its model."""
        return any(
            set(outer.score) & {i for split in inner for i in (*split.fit, *split.score)}
            for outer, inner in zip(self.outer, self.inner, strict=True)
        )


Sets = Mapping[str, Any]
Protocol = Callable[[Sets, int, int], Plan]


def image_set(sets: Sets, name: str) -> Images:
    """Return one set as ascending positions; refuse it if it shares images with another.

    Parameters
    ----------
    sets : mapping
        Positions, or a boolean mask, of the images of each set.
    name : str

    Raises
    ------
    InputError
        If the set is absent, empty or holds an image twice.
    LeakageError
        If an image of the set is in another set, too.
    """
    members = {key: _positions(value) for key, value in sets.items()}
    images = members.get(name, ())
    if len(images) != len(set(images)):
        raise InputError(
            f"split.{name}",
            f"{len(images) - len(set(images))} images twice",
            "every image once",
            "Repeats of an image must be averaged before encoding.",
        )
    if not images:
        raise InputError(
            f"split.{name}",
            "no images",
            f"at least one {name} image",
            "Raise its share in `split`, or choose a protocol that does not need it.",
        )
    for other, rest in members.items():
        shared = set(images) & set(rest)
        if other != name and shared:
            raise LeakageError(
                f"{len(shared)} images are in both `{name}` and `{other}`, the first at "
                f"position {min(shared)}: a model would be scored on images it has seen."
            )
    return images


def _positions(values: Any) -> Images:
    array = np.asarray(values)
    positions = np.flatnonzero(array) if array.dtype == bool else np.sort(array)
    return tuple(positions.tolist())


def block_folds(order: Sequence[int], n_folds: int, n_least: int = 2) -> list[Images]:
    """Cut a random order of images into contiguous folds of ``len(order) // n_folds``.

    Raises
    ------
    InputError
        If there are fewer than `n_least` folds or a fold has fewer than three images
        (no correlation can be estimated from two).
    """
    size = len(order) // max(n_folds, 1)
    if n_folds < n_least or size < MIN_FOLD:
        raise InputError(
            "encoding.folds",
            f"{n_folds} folds of {size} images",
            f"at least {n_least} folds of {MIN_FOLD} images or more",
            "Change `encoding.folds`, or use more images.",
        )
    return [tuple(sorted(order[k * size : (k + 1) * size])) for k in range(n_folds)]


def test_folds(sets: Sets, n_folds: int, seed: int, n_least: int = 2) -> list[Images]:
    """Return the folds of the test images; the same for every unit of a subject."""
    images = np.array(image_set(sets, "test"))
    order = rng(seed, "encoding", "folds").permutation(images)
    return block_folds(order.tolist(), n_folds, n_least)


test_folds.__test__ = False  # type: ignore[attr-defined]


def published(sets: Sets, n_folds: int, seed: int) -> Plan:
    """Return the plan of the published protocol: chosen on the scores reported."""
    images = image_set(sets, "test")
    outer = tuple(Split(_without(images, fold), fold) for fold in test_folds(sets, n_folds, seed))
    return Plan(outer=outer, inner=(outer,) * n_folds)


def heldout_cv(sets: Sets, n_folds: int, seed: int) -> Plan:
    """Return the plan of nested cross-validation on the test images."""
    images = image_set(sets, "test")
    folds = test_folds(sets, n_folds, seed, n_least=3)
    inner: list[list[Split]] = [[] for _ in folds]
    for i, j in combinations(range(n_folds), 2):
        fit = _without(images, folds[i], folds[j])
        inner[i].append(Split(fit, folds[j]))
        inner[j].append(Split(fit, folds[i]))
    return Plan(
        outer=tuple(Split(_without(images, fold), fold) for fold in folds),
        inner=tuple(map(tuple, inner)),
    )


def tune_test(sets: Sets, n_folds: int, seed: int) -> Plan:
    """Return the plan that fits on the tuning and chooses on the validation images."""
    tune = image_set(sets, "tune")
    return Plan(
        outer=(Split(tune, image_set(sets, "test")),),
        inner=((Split(tune, image_set(sets, "validation")),),),
    )


def fit_test(sets: Sets, n_folds: int, seed: int) -> Plan:
    """Return the plan that fits and chooses on the images kept for encoding models."""
    order = rng(seed, "encoding", "fit").permutation(np.array(image_set(sets, "fit")))
    return fit_size(order.tolist(), image_set(sets, "test"), n_folds)


def fit_size(order: Sequence[int], score: Images, n_folds: int) -> Plan:
    """Return the plan that fits on `order`, chooses by its own folds and scores `score`."""
    fit = tuple(sorted(order))
    folds = block_folds(order, n_folds)
    return Plan(
        outer=(Split(fit, score),),
        inner=(tuple(Split(_without(fit, fold), fold) for fold in folds),),
    )


def _without(images: Images, *removed: Images) -> Images:
    gone = set().union(*removed)
    return tuple(i for i in images if i not in gone)


PROTOCOLS: dict[str, Protocol] = {
    "heldout_cv": heldout_cv,
    "published": published,
    "tune_test": tune_test,
    "fit_test": fit_test,
}
