r"""Lower bounds of the mutual information between images and responses.

For K independent pairs and a critic :math:`s`, InfoNCE (van den Oord et al. 2018; Poole et
al. 2019, eq. 12) bounds the information of a pair in expectation:

.. math:: I \ge \frac1K \sum_i \Big[\frac{s_{ii}}{\tau}
          - \log \frac1K \sum_j e^{s_{ij}/\tau}\Big] ,

in nats, and never says more than :math:`\log K`. The temperature is a free parameter of the
critic; the one that suits a batch best would overstate the bound on that batch, so it is
fitted on one half of the images and the bound is evaluated on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortune.errors import InputError
from cortune.seeds import rng

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class InformationBound:
    """A cross-fitted InfoNCE bound.

    Parameters
    ----------
    nats : float
        Mean of the two halves' bounds. It may fall below zero, where it says nothing.
    temperature : float
        Geometric mean of the two fitted temperatures.
    log_k : float
        The most the bound could say: log of the images in a half (the smaller one).
    n_images : int
        Images in both halves.
    """

    nats: float
    temperature: float
    log_k: float
    n_images: int


def infonce_bound(similarities: Floats, temperature: float) -> float:
    """Return the InfoNCE bound of a square matrix of similarities, in nats.

    Parameters
    ----------
    similarities : array of shape (K, K)
        Row: image; column: response; matching pairs on the diagonal.
    temperature : float

    Returns
    -------
    bound : float
        At most log K.
    """
    from scipy.special import logsumexp

    logits = np.asarray(similarities, dtype=np.float64) / temperature
    return float(np.mean(np.diag(logits) - logsumexp(logits, axis=1)) + np.log(len(logits)))


def fit_temperature(similarities: Floats) -> float:
    """Return the temperature with the highest bound.

    The bound is concave in 1 / temperature, so its search over the logarithm, between
    1e-4 and 1e4 times the spread of the similarities, has no local optimum.
    """
    from scipy.optimize import minimize_scalar

    similarities = np.asarray(similarities, dtype=np.float64)
    spread = float(similarities.std())
    if spread == 0:
        return 1.0
    found = minimize_scalar(
        lambda log_temperature: -infonce_bound(similarities, np.exp(log_temperature)),
        bounds=tuple(np.log(spread) + np.log([1e-4, 1e4])),
        method="bounded",
    )
    return float(np.exp(found.x))


def cross_fitted_bound(similarities: Floats, seed: int = 0) -> InformationBound:
    """Return the bound with its temperature fitted on other images than it is evaluated on.

    Parameters
    ----------
    similarities : array of shape (n_images, n_images)
        Row: image; column: response; matching pairs on the diagonal. No image that the
        critic was trained on.
    seed : int
        Draws the halves.

    Raises
    ------
    InputError
        If the matrix is not square, not finite, or has fewer than four rows.
    """
    similarities = np.asarray(similarities)
    n = len(similarities)
    if similarities.shape != (n, n) or n < 4 or not np.isfinite(similarities).all():
        raise InputError(
            "similarities of images and responses",
            f"an array of shape {similarities.shape}, "
            f"{np.count_nonzero(~np.isfinite(similarities))} entries not finite",
            "a finite square matrix of four rows or more",
            "Use more test images, or check the network for overflow.",
        )
    order = rng(seed, "information", "halves").permutation(n)
    halves = [similarities[np.ix_(half, half)] for half in (order[: n // 2], order[n // 2 :])]
    temperatures = [fit_temperature(half) for half in halves]
    bounds = [
        infonce_bound(half, temperature)
        for half, temperature in zip(halves, reversed(temperatures), strict=True)
    ]
    return InformationBound(
        nats=float(np.mean(bounds)),
        temperature=float(np.exp(np.mean(np.log(temperatures)))),
        log_k=float(np.log(n // 2)),
        n_images=n,
    )
