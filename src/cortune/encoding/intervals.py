r"""Intervals of a unit's mean r that hold the accuracy of the models that were fitted.

The accuracy meant is what a fold's model would score on all images there could be, averaged
over folds and voxels. With :math:`z, \hat z` of mean zero and variance one over the m images
of a fold, an image's influence on r is

.. math:: I_i = z_i \hat z_i - \tfrac{r}{2} (z_i^2 + \hat z_i^2),

and :math:`\sum_i I_i^2 / m^2` the variance of r for a model that is given (Hampel 1974, the
delta method). Influences are averaged over voxels before they are squared: noise that voxels
share counts in full. m - 4 of one m pays for the means and variances estimated from the fold.

**Folds are not independent.** The model that scores fold k was fitted on fold j and vice
versa: what images i and l of different folds have in common moves both scores, so that this
part of the variance counts twice, by the symmetry of :math:`x_i^\top A x_l e_i e_l`; without
any signal it is all of the variance. How large it is shows between models fitted without two
folds, which nested cross-validation has (Bates, Hastie & Tibshirani 2023 use them, too):
influences of an image of fold k under models without k and j differ over j by nothing else.
See :func:`doubled_share`.

Coverage, measured: `docs/statistics.md`, ``benchmarks/interval_coverage.py``.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from cortune.arrays import Array
from cortune.encoding.scores import Floats

_ESTIMATED = 4  # two means and two variances
_LEAST_FREEDOM = 4.0
_LARGEST_PART = 1.1  # cut at 1, an estimate that errs to both sides would be too small on average


def influences(Y: Array, Y_hat: Array) -> Array:
    """Return each image's influence on r, summed over targets.

    Parameters
    ----------
    Y, Y_hat : array of shape (n_images, n_targets)
        Standardised targets and predictions (:func:`cortune.encoding.scores.standardise`);
        NaN columns do not count.

    Returns
    -------
    total : array of shape (n_images,)
        Their sum is 0.
    """
    xp = array_namespace(Y)
    product = Y * Y_hat
    r = xp.sum(product, axis=0)
    each = product - r / 2 * (Y * Y + Y_hat * Y_hat)
    return Y.shape[0] * xp.sum(xp.where(xp.isfinite(r), each, 0.0), axis=1)


def doubled_share(without_two: Floats) -> float:
    r"""Return the share of the variance within folds that counts twice.

    Standardised predictions of two models without fold k that have (K - 3) of their K - 2
    folds in common share that part of their noise, so the variance of an image's influence
    over models, times K - 2, is the part of the variance that is due to the images fitted on.
    The fold's own model has K - 1 folds: the odds of that part are (K - 2) / (K - 1) of it.

    Parameters
    ----------
    without_two : array of shape (K, K - 1, n_images)
        Influences of each fold's images under the models without it and one other fold.

    Returns
    -------
    share : float
        0 where there are no such models; up to 1.2, for 1 is estimated with an error.
    """
    n_folds = without_two.shape[0]
    if without_two.shape[1] < 2:
        return 0.0
    whole = np.square(without_two).mean(axis=1).sum()
    of_fit = (n_folds - 2) * without_two.var(axis=1, ddof=1).sum()
    part = min(of_fit / whole, _LARGEST_PART) if whole > 0 else 0.0
    odds = (n_folds - 2) / (n_folds - 1)
    return float(odds * part / (1 - part + odds * part))


def r_interval(r: Floats, influence: Floats, share: float) -> tuple[float, float]:
    """Return the 95 % interval of the mean of r over folds and targets.

    r in few images is too small by r (1 - r²) / (2 (m - 1)), to the first order; the interval
    is centred on r so corrected, and reaches to r itself at least. Quantiles are of Student's
    t with the freedom that the kurtosis of the influences leaves (Satterthwaite 1946).

    Parameters
    ----------
    r : array of shape (n_folds, n_targets)
        NaN where undefined.
    influence : array of shape (n_folds, n_images)
        Mean over targets, by image of the fold (:func:`influences`).
    share : float
        Of the variance that counts twice (:func:`doubled_share`).

    Returns
    -------
    low, high : float
        In [-1, 1]; NaN where nothing is defined.
    """
    from scipy.special import stdtrit  # scipy.stats takes as long to load as a unit's models

    r = r[:, np.isfinite(r).all(axis=0)].astype(np.float64)
    m = influence.shape[1]
    square = np.square(influence)
    if not r.size or not np.isfinite(square).all():
        return np.nan, np.nan
    total = square.sum()
    variance = (1 + share) * total / influence.size**2 * m / max(m - _ESTIMATED, 1)
    excess = influence.size * np.square(square).sum() / total**2 - 1 if total > 0 else 2.0
    freedom = max(2 * influence.size / max(excess, 0.5), _LEAST_FREEDOM)
    half = stdtrit(freedom, 0.975) * variance**0.5
    mean = r.mean()
    centre = mean + (r * (1 - r**2)).mean() / (2 * (m - 1))
    return max(-1.0, min(centre - half, mean)), min(1.0, max(centre + half, mean))
