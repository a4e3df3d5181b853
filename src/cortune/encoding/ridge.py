r"""Principal components and ridge regression from a Gram matrix.

With :math:`K = X X^\top` centred on the fit images and :math:`K = U \Lambda U^\top`, the
scores of the fit images on their principal components are
:math:`P = U \Lambda^{1/2}`, those of an image :math:`t` follow from its centred inner
products with the fit images, :math:`p_t = k_t U \Lambda^{-1/2}`, and because
:math:`P^\top P = \Lambda` is diagonal, ridge for every penalty and every target is

.. math:: \hat Y_t(\alpha) = p_t\,(\Lambda + \alpha)^{-1} P^\top (Y - \bar Y) + \bar Y .

The result is that of ``PCA(n_components, svd_solver="full")`` followed by
``Ridge(alpha, fit_intercept=True)`` of scikit-learn, without the features.

Precision. Centring a Gram subtracts nearly equal numbers, the scores on small
components divide by small eigenvalues, and both errors would reach the correlations:
centring, eigendecomposition and projection run in float64, on one ``n_fit x n_fit``
matrix at a time. What grows with targets and penalties runs in the targets' precision.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from cortune.arrays import Array
from cortune.encoding.scores import varies

_FACTOR_ROWS = 64


@dataclass(frozen=True)
class Components:
    r"""Principal components of the fit images.

    Parameters
    ----------
    axes : array of shape (n_fit, k), float64
        Orthonormal left singular vectors :math:`U` of the centred features.
    eigenvalues : array of shape (k,), float64
        :math:`\Lambda`, descending, numerically zero ones left out.
    row_mean : array of shape (n_fit,), float64
        Mean inner product of each fit image with the fit images.
    """

    axes: Array
    eigenvalues: Array
    row_mean: Array


def principal_components(gram: Array, n_components: int) -> Components:
    """Decompose the uncentred Gram of the fit images.

    An eigenvalue counts as zero below the size that rounding of the Gram's entries
    gives a zero eigenvalue (the spectral norm of the matrix of rounding errors).

    Parameters
    ----------
    gram : array of shape (n_fit, n_fit), float32 or float64
    n_components : int
        Components to keep at most.
    """
    eigenvalues, axes, row_mean, n_positive = decompose(gram)
    xp = array_namespace(axes)
    n = axes.shape[0]
    k = min(n_components, int(n_positive))
    return Components(
        axes=xp.flip(axes[:, n - k :], axis=1),
        eigenvalues=xp.flip(eigenvalues[n - k :], axis=0),
        row_mean=row_mean,
    )


def decompose(gram: Array) -> tuple[Array, Array, Array, Array]:
    """Centre a Gram and decompose it, all on its device.

    Returns
    -------
    eigenvalues : array of shape (n_fit,), float64
        Ascending.
    axes : array of shape (n_fit, n_fit), float64
    row_mean : array of shape (n_fit,), float64
    n_positive : array of shape ()
        Eigenvalues that are not numerically zero.
    """
    xp = array_namespace(gram)
    n = gram.shape[0]
    rounding = n**0.5 * xp.finfo(gram.dtype).eps + n * xp.finfo(xp.float64).eps
    centred = xp.astype(gram, xp.float64, copy=True)
    zero = rounding * xp.max(xp.linalg.diagonal(centred))
    row_mean = xp.mean(centred, axis=0)
    centred -= row_mean
    centred -= xp.mean(centred, axis=1)[:, None]
    eigenvalues, axes = xp.linalg.eigh(centred)
    return eigenvalues, axes, row_mean, xp.sum(xp.astype(eigenvalues > zero, xp.int64))


def project(components: Components, cross_gram: Array) -> Array:
    """Return the scores of images on the components of the fit images.

    Parameters
    ----------
    components : Components
    cross_gram : array of shape (n_images, n_fit)
        Uncentred inner products of the images with the fit images.

    Returns
    -------
    scores : array of shape (n_images, k), float64
    """
    xp = array_namespace(cross_gram)
    centred = xp.astype(cross_gram, xp.float64) - components.row_mean
    centred -= xp.mean(centred, axis=1)[:, None]
    return (centred @ components.axes) / xp.sqrt(components.eigenvalues)


def rotate(axes: Array, Y: Array) -> Array:
    r"""Return :math:`U^\top (Y - \bar Y)`, all of ridge that does not depend on alpha.

    Parameters
    ----------
    axes : array of shape (n_fit, k)
    Y : array of shape (n_fit, n_targets)

    Returns
    -------
    rotated : array of shape (k, n_targets)
        Zero where a target is constant.
    """
    xp = array_namespace(Y)
    mean = xp.sum(Y, axis=0, dtype=xp.float64) / Y.shape[0]
    rotated = axes.T @ (Y - xp.astype(mean, Y.dtype))
    return xp.where(varies(Y), rotated, xp.zeros_like(rotated[:1, :]))


def predict(scores: Array, eigenvalues: Array, rotated: Array, alpha: Array) -> Array:
    r"""Return ridge predictions less the targets' means, :math:`\hat Y - \bar Y`.

    Parameters
    ----------
    scores : array of shape (n_images, k)
        From :func:`project`.
    eigenvalues : array of shape (k,)
    rotated : array of shape (k, n_targets)
        From :func:`rotate`.
    alpha : array of shape (1,) or (n_targets,)
        One penalty, or one for each target.

    Returns
    -------
    predictions : array of shape (n_images, n_targets)
    """
    xp = array_namespace(scores)
    weights = xp.astype(_shrinkage(eigenvalues, alpha), rotated.dtype) * rotated
    return scores @ weights


Factor = list[tuple[int, Array]]
"""Blocks of rows of a matrix, each without the columns, so many, in which it is zero."""


def norm_factor(scores: Array) -> Factor:
    r"""Return what has the norms of predictions from scores: the scores, or their triangular R.

    R of :math:`S = QR` takes fewer products where there are more images than components:
    :math:`\|S w\| = \|R w\|`.

    Parameters
    ----------
    scores : array of shape (n_images, k)
        From :func:`project`, less the mean of each column.
    """
    xp = array_namespace(scores)
    n, k = scores.shape
    triangular = n > k > 0
    if triangular:
        scores = xp.astype(xp.linalg.qr(xp.astype(scores, xp.float64))[1], scores.dtype)
    return [
        (zeros, xp.astype(scores[start : start + _FACTOR_ROWS, zeros:], scores.dtype, copy=True))
        for start in range(0, scores.shape[0], _FACTOR_ROWS)
        for zeros in [start if triangular else 0]
    ]


def score_alphas(
    scores: Array, eigenvalues: Array, rotated: Array, Y: Array, alphas: Array, factor: Factor
) -> Array:
    r"""Return Pearson r of every target's prediction, for every penalty.

    With weights w of a target and penalty, :math:`r = y^\top S w / \|S w\|`. All numerators
    follow from one product, :math:`S^\top Y`; norms take one for each penalty, or half of one.

    Parameters
    ----------
    scores : array of shape (n_images, k)
        Of the held-out images, less the mean of each column.
    eigenvalues, rotated : array
        As in :func:`predict`.
    Y : array of shape (n_images, n_targets)
        Held-out responses, standardised (:func:`cortune.encoding.scores.standardise`).
    alphas : array of shape (n_alphas,), float64
    factor : Factor
        What :func:`norm_factor` returns of the scores.

    Returns
    -------
    r : array of shape (n_alphas, n_targets)
        NaN where the target or its prediction is constant.
    """
    xp = array_namespace(scores)
    if eigenvalues.shape[0] == 0:
        return xp.full_like(Y[:1, :], xp.nan) * xp.ones_like(alphas, dtype=Y.dtype)[:, None]
    # r ignores scale: unit columns keep sums of squares far from float32's underflow.
    norm = xp.sqrt(xp.sum(rotated * rotated, axis=0))
    rotated = rotated / xp.where(norm > 0, norm, 1.0)
    shrinkage = _shrinkage(eigenvalues, alphas)
    shrinkage = xp.astype(shrinkage / xp.max(shrinkage, axis=0), rotated.dtype).T
    covariance = shrinkage @ ((scores.T @ Y) * rotated)
    square = xp.zeros_like(covariance)
    for zeros, rows in factor:
        # Of all penalties at once: fewer, larger products, and nothing of the targets' size.
        scaled = xp.reshape(shrinkage[:, None, zeros:] * rows, (-1, rows.shape[1]))
        part = scaled @ rotated[zeros:, :]
        part *= part
        square += xp.sum(xp.reshape(part, (len(alphas), *rows.shape[:1], -1)), axis=1)
    return xp.clip(covariance / xp.sqrt(xp.where(square > 0, square, xp.nan)), -1.0, 1.0)


def _shrinkage(eigenvalues: Array, alpha: Array) -> Array:
    """Return sqrt(lambda) / (lambda + alpha), of shape (k, n_alphas), float64."""
    xp = array_namespace(eigenvalues)
    return xp.sqrt(eigenvalues)[:, None] / (eigenvalues[:, None] + alpha)
