r"""Intensive principal component analysis of a dissimilarity matrix.

.. math:: W = -\tfrac12 L D L, \qquad W = \sum_k \lambda_k v_k v_k^\top,
          \qquad x_k = \sqrt{|\lambda_k|}\, v_k ,

with L the centring matrix and axes in order of :math:`|\lambda|` (Quinn et al. 2019; Mao et
al. 2024). D is no squared Euclidean distance in general, so some eigenvalues are negative:
differences along those imaginary axes bring models closer. With the signs, D is recovered
exactly: :math:`D_{ij} = \sum_k \mathrm{sign}(\lambda_k) (x_{ik} - x_{jk})^2`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortune.errors import InputError
from cortune.landscape.dissimilarity import Floats

_NULL = 1e-12  # of the largest eigenvalue: an axis below has no extent but rounding


@dataclass(frozen=True, eq=False)
class InPCA:
    """Coordinates of models on real and imaginary axes.

    Parameters
    ----------
    coordinates : array of shape (n_models, n_models)
        Column k is axis k; the largest coordinate of each axis is positive.
    eigenvalues : array of shape (n_models,)
        In order of decreasing magnitude; those of imaginary axes are negative.
    """

    coordinates: Floats
    eigenvalues: Floats

    @property
    def signs(self) -> Floats:
        """1 for real axes, -1 for imaginary ones, 0 for axes without extent."""
        largest = np.abs(self.eigenvalues).max()
        signs: Floats = np.where(
            np.abs(self.eigenvalues) > _NULL * largest, np.sign(self.eigenvalues), 0.0
        )
        return signs

    def explained_stress(self, n_axes: int) -> float:
        """Return 1 - sqrt(1 - sum of the first squared eigenvalues / ||W||²).

        NaN where all models are the same.
        """
        squares = np.square(self.eigenvalues)
        if not squares.sum():
            return float("nan")
        return float(1 - np.sqrt(squares[n_axes:].sum() / squares.sum()))


def inpca(distance: Floats) -> InPCA:
    """Analyse a matrix of dissimilarities.

    Parameters
    ----------
    distance : array of shape (n_models, n_models)
        Symmetric with a zero diagonal; for classical multidimensional scaling, squared
        Euclidean distances.

    Raises
    ------
    InputError
        If the matrix is not such a one, not finite, or has fewer than two models.
    """
    distance = checked_distance(distance)
    mean = distance.mean(axis=1)
    w = -(distance - mean - mean[:, None] + mean.mean()) / 2
    eigenvalues, vectors = np.linalg.eigh(w)
    order = np.lexsort((-eigenvalues, -np.abs(eigenvalues)))
    eigenvalues = eigenvalues[order]
    coordinates = vectors[:, order] * np.sqrt(np.abs(eigenvalues))
    return InPCA(signed_by_largest(coordinates), eigenvalues)


def signed_by_largest(coordinates: Floats) -> Floats:
    """Turn axes so that the largest coordinate of each is positive, the first of equals.

    Parameters
    ----------
    coordinates : array of shape (n_models, n_axes)
    """
    size = np.abs(coordinates)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    negative = coordinates[first, np.arange(coordinates.shape[1])] < 0
    turned: Floats = np.where(negative, -coordinates, coordinates)
    return turned


def checked_distance(distance: Floats) -> Floats:
    """Return a matrix of dissimilarities in float64.

    Raises
    ------
    InputError
        If it is not square, symmetric and finite with a zero diagonal and two rows or more.
    """
    distance = np.asarray(distance, dtype=np.float64)
    n = len(distance)
    if (
        distance.shape != (n, n)
        or n < 2
        or not np.isfinite(distance).all()
        or np.diag(distance).any()
        or not np.allclose(distance, distance.T, rtol=1e-9, atol=1e-12)
    ):
        raise InputError(
            "dissimilarities",
            f"an array of shape {distance.shape} that is not symmetric, finite and zero on "
            "its diagonal, or has a single row",
            "the dissimilarities of every two of at least two models",
            "Compute them by cortune.landscape.dissimilarity.bhattacharyya.",
        )
    return distance
