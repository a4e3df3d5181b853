r"""Bhattacharyya dissimilarity of the predictions of networks on the same images.

.. math:: D(u, v) = -\frac1N \sum_n \ln \sum_c \sqrt{p_u(c|n)\, p_v(c|n)} ,

in nats, zero between equal predictions (Mao et al. 2024). Probabilities are given and kept as
logarithms, :math:`\ln \sum_c e^{(\ln p_u + \ln p_v) / 2}`: a confident network gives some class
less than the smallest number there is, and one such image would otherwise decide its distance
from the truth. The truth (one-hot) and ignorance (uniform) are models too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from cortune.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]

TRUTH = "truth"
IGNORANCE = "ignorance"
REFERENCES = (TRUTH, IGNORANCE)

# Below it a sum of products may have lost terms to underflow, and is formed again in logarithms.
_SMALL = 1e-200
_SUM_TOLERANCE = 1e-3


def bhattacharyya(log_probabilities: Floats, *, memory_mb: float = 256) -> Floats:
    """Return the Bhattacharyya dissimilarity of every two models.

    Parameters
    ----------
    log_probabilities : array of shape (n_models, n_images, n_classes)
        Natural logarithms; −∞ is no probability. Rows over classes are normalised in float64
        first, so that rounding to float32 makes no distance.
    memory_mb : float
        Bounds what is held beside them; at least one image is.

    Returns
    -------
    array of shape (n_models, n_models), float64
        Nats; symmetric, zero on the diagonal, finite.

    Raises
    ------
    InputError
        If there is no image, a row is not a distribution over the classes, or two models have
        no class in common on an image.
    """
    if log_probabilities.ndim != 3 or 0 in log_probabilities.shape:
        raise _empty(f"an array of shape {log_probabilities.shape}")
    n_models, n_images, n_classes = log_probabilities.shape
    step = images_per_block(n_models, n_classes, memory_mb)
    blocks = (log_probabilities[:, at : at + step] for at in range(0, n_images, step))
    return bhattacharyya_of_blocks(blocks, memory_mb=memory_mb)


def bhattacharyya_of_blocks(blocks: Iterable[Floats], *, memory_mb: float = 256) -> Floats:
    """Return the dissimilarities from blocks of images that are read one at a time.

    Parameters
    ----------
    blocks : iterable of array of shape (n_models, any, n_classes)
        Log-probabilities; each image in one block; order and sizes of blocks do not matter.
    memory_mb : float
        Bounds what is held beside a block.

    Returns
    -------
    array of shape (n_models, n_models), float64

    Raises
    ------
    InputError
        As :func:`bhattacharyya`.
    """
    total: Any = 0.0
    n_images = 0
    for block in blocks:
        logs = _normalised(block)
        n_images += len(logs)
        for affinity in _log_affinities(logs, memory_mb):
            # Cauchy-Schwarz bounds the affinity by 1; rounding may not.
            total = total + np.minimum(affinity, 0.0, out=affinity).sum(axis=0)
    if not n_images:
        raise _empty("no block of images")
    distance: Floats = -(total + total.T) / (2 * n_images)
    np.fill_diagonal(distance, 0.0)
    if not np.isfinite(distance).all():
        raise _invalid("two networks that have no class in common on some image")
    return np.abs(distance, out=distance)  # -0.0 between equal models


def with_references(log_probabilities: Floats, labels: Ints) -> Floats:
    """Append the truth and ignorance to the models.

    Parameters
    ----------
    log_probabilities : array of shape (n_models, n_images, n_classes)
    labels : array of shape (n_images,)
        True classes, from 0.

    Returns
    -------
    array of shape (n_models + 2, n_images, n_classes)
        The models, then :data:`REFERENCES`.
    """
    n_images, n_classes = log_probabilities.shape[1:]
    references = np.full((2, n_images, n_classes), -np.inf, dtype=log_probabilities.dtype)
    references[0, np.arange(n_images), labels] = 0
    references[1] = -np.log(n_classes)
    return np.concatenate([log_probabilities, references])


def images_per_block(n_models: int, n_classes: int, memory_mb: float) -> int:
    """Return how many images fit into half the memory; their affinities have the other half.

    A probability takes 28 bytes: as read, with truth and ignorance, in float64, and its root.
    """
    return max(1, int(memory_mb * 1e6 / (56 * n_models * n_classes)))


def _empty(found: str) -> InputError:
    return InputError(
        "predictions",
        found,
        "(n_models, n_images, n_classes), none of them zero",
        "Probe at least one network on at least one test image.",
    )


def _invalid(found: str) -> InputError:
    return InputError(
        "predictions",
        found,
        "the logarithm of a probability for every class",
        "Probe the networks again; a network whose features overflow cannot be placed.",
    )


def _normalised(block: Floats) -> Floats:
    """Return normalised log-probabilities, (n_images, n_models, n_classes), float64."""
    from scipy.special import logsumexp

    logs: Floats = np.array(block.transpose(1, 0, 2), dtype=np.float64, order="C")
    if np.isnan(logs).any() or (logs == np.inf).any():
        raise _invalid("missing or infinite values")
    sums = logsumexp(logs, axis=2, keepdims=True)
    if not (np.abs(np.expm1(sums)) <= _SUM_TOLERANCE).all():
        raise _invalid("rows of probabilities that do not sum to 1")
    logs -= sums
    return logs


def _log_affinities(logs: Floats, memory_mb: float) -> Iterator[Floats]:
    """Yield logarithms of the affinities of some images at a time, (any, n_models, n_models).

    Products of roots, each row scaled by its largest; a sum too small for its terms to have been
    kept is formed in logarithms instead.
    """
    from scipy.special import logsumexp

    largest = logs.max(axis=2, keepdims=True) / 2
    roots = np.exp(logs / 2 - largest)
    step = max(1, int(memory_mb * 1e6 / (36 * logs.shape[1] ** 2)))
    for at in range(0, len(logs), step):
        here = slice(at, at + step)
        affinity = roots[here] @ roots[here].transpose(0, 2, 1)
        image, u, v = np.nonzero(affinity < _SMALL)
        with np.errstate(divide="ignore"):
            log_affinity: Floats = np.log(affinity, out=affinity)
        log_affinity += largest[here] + largest[here].transpose(0, 2, 1)
        log_affinity[image, u, v] = logsumexp(
            (logs[at + image, u] + logs[at + image, v]) / 2, axis=1
        )
        yield log_affinity
