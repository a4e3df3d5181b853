"""How alike networks and cortex are: CKA and RSA, from inner products alone.

Both compare how two systems relate the same images to each other, without fitting anything. What
``extract_features`` keeps of a network is enough for either. Resampling images gives each image a
weight; pairs of an image with itself are never counted, as in rsatoolbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cortune.features import LayerProducts
from cortune.seeds import rng

CKA, RSA = "cka", "rsa"
MEASURES = {CKA: "debiased linear CKA", RSA: "Spearman correlation of correlation distances"}
LEAST_IMAGES = 20
"""Images below which nothing is compared."""

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Relations:
    """How one system relates n images to each other.

    Parameters
    ----------
    gram : array (n, n)
        Inner products of the images' centred features.
    distances : array (n (n - 1) / 2,)
        1 − Pearson's r of the features of every two images, in the order of
        :func:`numpy.triu_indices`.
    """

    gram: Floats
    distances: Floats

    @classmethod
    def of_values(cls, X: Floats) -> Relations:
        """Return the relations of images by their features, (n, n_features)."""
        values = np.asarray(X, np.float64)
        centred = values - values.mean(0)
        own = values - values.mean(1, keepdims=True)
        return cls(centred @ centred.T, _distances(own @ own.T))

    @classmethod
    def of_layer(cls, layer: LayerProducts) -> Relations:
        """Return the relations of images by a layer, of which only products are known."""
        gram = np.asarray(layer.gram, np.float64)
        products = gram + layer.to_mean[:, None] + layer.to_mean - layer.to_mean.mean()
        own = products - layer.n_features * np.outer(layer.means, layer.means)
        return cls(gram, _distances(own))

    def only(self, rows: NDArray[np.intp]) -> Relations:
        """Return the relations of some of the images."""
        full = np.zeros_like(self.gram, dtype=np.float64)
        full[np.triu_indices(len(full), 1)] = self.distances
        full += full.T
        part = np.ix_(rows, rows)
        return Relations(self.gram[part], full[part][np.triu_indices(len(rows), 1)])

    @cached_property
    def ranks(self) -> Floats:
        """Ranks of the distances, centred and of unit length."""
        from scipy.stats import rankdata

        return _unit(rankdata(self.distances))

    @cached_property
    def centred(self) -> Floats:
        """U-centred inner products of different images."""
        gram = self.gram - np.diag(np.diag(self.gram))
        n, sums = len(gram), gram.sum(0)
        gram -= (sums[:, None] + sums) / (n - 2) - sums.sum() / ((n - 1) * (n - 2))
        return np.asarray(gram[np.triu_indices(n, 1)])

    @cached_property
    def off_diagonal(self) -> Floats:
        """The same, of unit length.

        The scalar product of two such vectors is debiased CKA (Székely & Rizzo 2014, eq. 2.4;
        Song et al. 2012, eq. 4).
        """
        return np.asarray(self.centred / np.sqrt(self.centred @ self.centred))

    def vector(self, measure: str) -> Floats:
        """Return what `measure` is the scalar product of."""
        return self.off_diagonal if measure == CKA else self.ranks


def similarity(a: Relations, b: Relations, measure: str) -> float:
    """Return how alike two systems relate the same images, at most 1."""
    return float(a.vector(measure) @ b.vector(measure))


def intervals(
    layers: Sequence[Relations], target: Relations, measure: str, n_bootstrap: int, seed: int
) -> Floats:
    """Return 95 % intervals over images of the similarity of layers with a target.

    Parameters
    ----------
    layers : sequence of Relations
    target : Relations
    measure : {"cka", "rsa"}
    n_bootstrap : int
    seed : int

    Returns
    -------
    array (n_layers, 2)
        Percentiles of resampled images, moved by the resampling's own bias: fewer distinct
        images relate a little differently.
    """
    n = len(target.gram)
    drawn = rng(seed, "similarity", n).multinomial(n, np.full(n, 1 / n), n_bootstrap)
    resampled = _cka if measure == CKA else _rsa
    samples = resampled(layers, target, drawn.astype(np.float64))
    estimates = np.array([similarity(layer, target, measure) for layer in layers])[:, None]
    shifted = samples - np.median(samples, 1, keepdims=True) + estimates
    return np.asarray(np.percentile(shifted, (2.5, 97.5), 1).T.clip(-1, 1))


def _cka(layers: Sequence[Relations], target: Relations, weights: Floats) -> Floats:
    """Return debiased CKA of each layer under each weighting of the images, (n_layers, n_weights).

    With weights w, row effects a_i solve Σ_{j≠i} w_j (K_ij − a_i − a_j) = 0, and
    HSIC = Σ_{i≠j} w_i w_j K_ij L_ij − 2 Σ_i w_i a_i (L w)_i; weights of 1 are U-centring.
    """
    rest = weights.sum(1, keepdims=True) - 2 * weights

    def parts(relations: Relations) -> tuple[Floats, Floats, Floats]:
        gram = relations.gram - np.diag(np.diag(relations.gram))
        gram = gram / np.abs(gram).max()
        sums = weights @ gram
        level = (weights * sums / rest).sum(1) / (1 + (weights / rest).sum(1))
        return gram, sums, (sums - level[:, None]) / rest

    def hsic(a: tuple[Floats, Floats, Floats], b: tuple[Floats, Floats, Floats]) -> Floats:
        pairs = ((weights @ (a[0] * b[0])) * weights).sum(1)
        return np.asarray(pairs - 2 * (weights * a[2] * b[1]).sum(1))

    other = parts(target)
    own = hsic(other, other)
    return np.array(
        [hsic(layer, other) / np.sqrt(hsic(layer, layer) * own) for layer in map(parts, layers)]
    )


def _rsa(layers: Sequence[Relations], target: Relations, weights: Floats) -> Floats:
    """Return weighted Spearman correlations of distances, (n_layers, n_weights)."""
    first, second = np.triu_indices(len(target.gram), 1)
    orders = [np.argsort(each.distances, kind="stable") for each in (target, *layers)]
    found = np.empty((len(layers), len(weights)))
    for column, weight in enumerate(weights):
        pairs = weight[first] * weight[second]
        here = pairs > 0
        kept = pairs[here]
        reference, *others = (_weighted_ranks(order, pairs)[here] for order in orders)
        for row, ranks in enumerate(others):
            found[row, column] = _weighted_correlation(ranks, reference, kept)
    return found


def _weighted_ranks(order: NDArray[np.intp], weights: Floats) -> Floats:
    ranks, sorted_weights = np.empty(len(order)), weights[order]
    ranks[order] = np.cumsum(sorted_weights) - sorted_weights / 2
    return ranks


def _weighted_correlation(x: Floats, y: Floats, weights: Floats) -> float:
    x, y = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    weighted = weights * x
    return float(weighted @ y / np.sqrt((weighted @ x) * (weights @ (y * y))))


def ceiling(own: Relations, others: Iterable[Relations], measure: str) -> float:
    """Return a lower bound on what a perfect model of the region could reach.

    The similarity of a subject's responses with the mean of the other subjects' to the same
    images (Nili et al. 2014); NaN without others.
    """
    vectors = [each.vector(measure) for each in others]
    return float(own.vector(measure) @ _unit(np.mean(vectors, 0), 0)) if vectors else np.nan


def repeat_ceiling(halves: Sequence[Relations], mean: Relations, measure: str) -> float:
    r"""Return how alike noiseless responses and measured ones are, from repeats of images.

    Noise of one half of the repeats has nothing in common with that of the other, so the scalar
    product of their U-centred Gram matrices k is, but for chance, what it would be without noise,
    and CKA of noiseless and mean responses is :math:`\sqrt{k_1 \cdot k_2 / k \cdot k}`. Ranks of
    distances do not add up so: for RSA the likeness s of the halves is stepped up to all
    repeats (Spearman 1910, Brown 1910), :math:`\sqrt{2 s / (1 + s)}`, a bound from below.

    Parameters
    ----------
    halves : sequence of two Relations
        Of the means over the odd and over the even repeats of each image.
    mean : Relations
        Of the means over all repeats.
    measure : {"cka", "rsa"}
    """
    first, second = halves
    if measure == CKA:
        share = float(first.centred @ second.centred / (mean.centred @ mean.centred))
    else:
        alike = max(similarity(first, second, measure), 0.0)
        share = 2 * alike / (1 + alike)
    return float(np.sqrt(min(max(share, 0.0), 1.0)))


def between(names: Sequence[str], vectors: Floats) -> Iterator[tuple[str, str, float]]:
    """Yield the similarity of every two networks that were shown the same images.

    Parameters
    ----------
    names : sequence of str
    vectors : array (n_networks, n_pairs)
        Of each network, by :meth:`Relations.vector`.
    """
    products = vectors @ vectors.T
    for (i, a), (j, b) in combinations(enumerate(names), 2):
        yield a, b, float(products[i, j])


def _unit(values: Floats, centre: float | None = None) -> Floats:
    """Return values less their mean, or `centre`, of unit length."""
    centred = values - (values.mean() if centre is None else centre)
    return np.asarray(centred / np.sqrt(centred @ centred))


def _distances(products: Floats) -> Floats:
    """Return correlation distances from products of features less each image's mean."""
    scale = np.sqrt(np.diag(products))
    upper = np.triu_indices(len(products), 1)
    return np.asarray(1 - (products / np.outer(scale, scale))[upper])
