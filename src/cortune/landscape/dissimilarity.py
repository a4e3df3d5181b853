r"""Bhattacharyya dissimilarity of the predictions of networks on the same images.

.. math:: D(u, v) = -\frac1N \sum_n \ln \sum_c \sqrt{p_u(c|n)\, p_v(c|n)} ,

in nats, zero between equal predictions and infinite where two networks share no class on
some image (Mao et al. 2024). The truth (one-hot) and ignorance (uniform) are models too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortune.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]

TRUTH = "truth"
IGNORANCE = "ignorance"
REFERENCES = (TRUTH, IGNORANCE)

# Affinity (the sum over classes) of the truth and a network that gives the true class the
# smallest normal float32 probability. Less is rounding, so no image adds more than 43.7 nats.
AFFINITY_FLOOR = float(np.sqrt(np.finfo(np.float32).tiny))
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Dissimilarity:
    """Dissimilarities of every two models.

    Parameters
    ----------
    distance : array of shape (n_models, n_models), float64
        Nats; symmetric, zero on the diagonal, finite.
    n_floored : int
        Pairs of models and images whose affinity was raised to :data:`AFFINITY_FLOOR`,
        where the distance would be infinite or nearly so; a pair of models counts once.
    """

    distance: Floats
    n_floored: int


def bhattacharyya(probabilities: Floats, *, memory_mb: float = 256) -> Dissimilarity:
    """Return the Bhattacharyya dissimilarity of every two models.

    Parameters
    ----------
    probabilities : array of shape (n_models, n_images, n_classes)
        Rows over classes are normalised in float64 first, so that rounding to float32
        makes no distance.
    memory_mb : float
        Bounds what is held beside `probabilities`; at least one image is.

    Raises
    ------
    InputError
        If there is no image, or a row is not a distribution over the classes.
    """
    if probabilities.ndim != 3 or 0 in probabilities.shape:
        raise _empty(f"an array of shape {probabilities.shape}")
    step = images_per_block(len(probabilities), probabilities.shape[2], memory_mb)
    blocks = (probabilities[:, at : at + step] for at in range(0, probabilities.shape[1], step))
    return bhattacharyya_of_blocks(blocks, memory_mb=memory_mb)


def bhattacharyya_of_blocks(blocks: Iterable[Floats], *, memory_mb: float = 256) -> Dissimilarity:
    """Return the dissimilarities from blocks of images that are read one at a time.

    Parameters
    ----------
    blocks : iterable of array of shape (n_models, any, n_classes)
        Each image in one block; order and sizes of blocks do not matter.
    memory_mb : float
        Bounds what is held beside a block.

    Raises
    ------
    InputError
        If there is no image, or a row is not a distribution over the classes.
    """
    total: Any = 0.0
    n_floored: Any = 0
    n_images = 0
    for block in blocks:
        roots = _roots(block)
        n_images += len(roots)
        for affinity in _affinities(roots, memory_mb):
            n_floored = n_floored + np.count_nonzero(affinity < AFFINITY_FLOOR, axis=0)
            # Cauchy-Schwarz bounds the affinity by 1; rounding may not.
            np.clip(affinity, AFFINITY_FLOOR, 1.0, out=affinity)
            total = total + np.log(affinity, out=affinity).sum(axis=0)
    if not n_images:
        raise _empty("no block of images")
    distance = -(total + total.T) / (2 * n_images)
    np.fill_diagonal(distance, 0.0)
    np.abs(distance, out=distance)  # -0.0 between equal models
    off_diagonal = n_floored - np.diag(np.diag(n_floored))
    return Dissimilarity(distance, int(off_diagonal.sum()) // 2)


def mean_dissimilarity(probes: Sequence[Dissimilarity]) -> Dissimilarity:
    """Return the mean over probes, each of which counts the same.

    Parameters
    ----------
    probes : sequence of Dissimilarity
        Of the same models, in the same order; at least one.
    """
    distance = np.mean([probe.distance for probe in probes], axis=0)
    return Dissimilarity(distance, sum(probe.n_floored for probe in probes))


def with_references(probabilities: Floats, labels: Ints) -> Floats:
    """Append the truth and ignorance to the models.

    Parameters
    ----------
    probabilities : array of shape (n_models, n_images, n_classes)
    labels : array of shape (n_images,)
        True classes, from 0.

    Returns
    -------
    array of shape (n_models + 2, n_images, n_classes)
        The models, then :data:`REFERENCES`.
    """
    n_images, n_classes = probabilities.shape[1:]
    references = np.zeros((2, n_images, n_classes), dtype=probabilities.dtype)
    references[0, np.arange(n_images), labels] = 1
    references[1] = 1 / n_classes
    return np.concatenate([probabilities, references])


def images_per_block(n_models: int, n_classes: int, memory_mb: float) -> int:
    """Return how many images fit into half the memory; their affinities have the other half.

    A probability takes 20 bytes: as read, with truth and ignorance, and in float64.
    """
    return max(1, int(memory_mb * 1e6 / (40 * n_models * n_classes)))


def _empty(found: str) -> InputError:
    return InputError(
        "predictions",
        found,
        "(n_models, n_images, n_classes), none of them zero",
        "Probe at least one network on at least one test image.",
    )


def _roots(probabilities: Floats) -> Floats:
    """Return roots of normalised probabilities, (n_images, n_models, n_classes)."""
    values = np.array(probabilities.transpose(1, 0, 2), dtype=np.float64, order="C")
    sums = values.sum(axis=2, keepdims=True)
    valid = np.isfinite(sums) & (np.abs(sums - 1) <= _SUM_TOLERANCE)
    if not valid.all() or (values < 0).any():
        raise InputError(
            "predictions",
            "rows with negative, missing or infinite values, or that do not sum to 1",
            "a probability for every class",
            "Probe the networks again; a network whose features overflow cannot be placed.",
        )
    values /= sums
    roots: Floats = np.sqrt(values, out=values)
    return roots


def _affinities(roots: Floats, memory_mb: float) -> Iterator[Floats]:
    """Yield affinities of some images at a time, (any, n_models, n_models)."""
    step = max(1, int(memory_mb * 1e6 / (20 * roots.shape[1] ** 2)))
    for at in range(0, len(roots), step):
        yield roots[at : at + step] @ roots[at : at + step].transpose(0, 2, 1)
