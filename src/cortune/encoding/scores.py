"""Pearson correlations of many targets at once.

A correlation is undefined where the target or its prediction is constant; it is NaN
then, never 0 and never a warning, and NaN never wins a selection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from cortune.arrays import Array

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]


def varies(Y: Array) -> Array:
    """Return which columns hold more than one value, exactly, of shape (n_targets,)."""
    xp = array_namespace(Y)
    first = Y[:1, :]
    return xp.any(first != Y, axis=0)


def standardise(Y: Array) -> Array:
    """Return `Y` with every column of mean zero and Euclidean norm one.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)

    Returns
    -------
    standardised : array of shape (n_samples, n_targets)
        In the precision of `Y` (sums run in float64); NaN in constant columns.
    """
    xp = array_namespace(Y)
    centred = xp.astype(Y, xp.float64, copy=True)
    centred -= xp.mean(centred, axis=0)
    norm = xp.sqrt(xp.sum(centred * centred, axis=0))
    return xp.astype(centred / xp.where(varies(Y), norm, xp.nan), Y.dtype)


def pearson_r(Y: Array, Y_hat: Array) -> Array:
    """Correlate every target with its prediction.

    Parameters
    ----------
    Y : array of shape (n_samples, n_targets)
        Standardised targets (:func:`standardise`).
    Y_hat : array of shape (n_samples, n_targets)
        Predictions with columns of mean zero, of any scale.

    Returns
    -------
    r : array of shape (n_targets,)
        NaN where a target or a prediction is constant.
    """
    xp = array_namespace(Y)
    square = xp.sum(Y_hat * Y_hat, axis=0)
    norm = xp.sqrt(xp.where(square > 0, square, xp.nan))
    return xp.clip(xp.sum(Y * Y_hat, axis=0) / norm, -1.0, 1.0)


def mean_over_targets(r: Floats) -> Floats:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    defined = np.isfinite(r)
    count = defined.sum(axis=-1)
    total = np.where(defined, r, 0).sum(axis=-1, dtype=np.float64)
    mean: Floats = total / np.where(count > 0, count, np.nan)
    return mean


def best(r: Floats) -> Ints:
    """Return the index of the highest score along the first axis, the first of equal ones.

    NaN never wins; where all are NaN the index is 0 and the score there is NaN.
    """
    index: Ints = np.where(np.isnan(r), -np.inf, r).argmax(axis=0)
    return index
