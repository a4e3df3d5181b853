r"""Banded ridge over all layers at once: the protocol ``all_layers``.

Every layer has a kernel, its centred Gram scaled to a mean diagonal of one; a voxel is
predicted by kernel ridge on their weighted sum, with weights and penalty chosen per voxel.
Weightings are tried at random (himalaya's random search), each layer alone and all alike
among them, in the inner folds of ``heldout_cv``; its outer folds score. All components
of a layer are used: ``n_components`` does not apply.

The R² of a prediction is split over layers by himalaya's product measure,
:math:`R^2_l = 2 \langle y, \hat y_l\rangle - \langle \hat y_l, \hat y\rangle` for
:math:`\hat y = \sum_l \hat y_l` and y of unit length, all less their means over the scored
images. The parts sum to the joint R²; a part may be negative.

Source: Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022, NeuroImage 264.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortune.encoding.folds import Plan, Sets, Split, heldout_cv
from cortune.encoding.intervals import influences, r_interval
from cortune.encoding.protocols import Settings, checked_gram, checked_responses, lower_median
from cortune.encoding.results import UnitEncoding
from cortune.encoding.scores import Floats, Ints, pearson_r, standardise, varies
from cortune.seeds import rng

ALL_LAYERS = "all_layers"
ALL = "all"
_CONCENTRATIONS = (0.1, 1.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AllLayersEncoding:
    """The encoding of a unit from all layers together.

    Parameters
    ----------
    encoding : UnitEncoding
        Its only layer is called ``all``.
    layers : tuple of str
    partition : array of shape (n_layers, n_targets)
        Each layer's part of the held-out R², mean over folds; parts may be negative.
    """

    encoding: UnitEncoding
    layers: tuple[str, ...]
    partition: Floats


def encode_all_layers(
    grams: Mapping[str, Any],
    Y: Floats,
    sets: Sets,
    settings: Settings,
    *,
    n_folds: int = 5,
    n_iter: int = 30,
    noise_ceiling: Floats | None = None,
    vertices: Ints | None = None,
) -> AllLayersEncoding:
    """Fit, select and score banded ridge in the folds of ``heldout_cv``.

    Parameters
    ----------
    grams, Y, sets, settings, n_folds, noise_ceiling, vertices
        As in :func:`cortune.encoding.protocols.encode_unit`. Penalties are relative to a
        layer's scale here: the range searched is that of `settings.alphas` over the
        layers' mean squared norms.
    n_iter : int
        Weightings to try; one more than there are layers at least.

    Raises
    ------
    InputError, LeakageError
        As :func:`cortune.encoding.protocols.encode_unit`.
    """
    Y = checked_responses(Y)
    layers = tuple(grams)
    plan = heldout_cv(sets, n_folds, settings.seed)
    scored = [np.array(split.score) for split in plan.outer]
    defined = np.all([varies(Y[rows]) for rows in scored], axis=0)
    folds = []
    for number, split in enumerate(plan.outer):
        folds.append(_fit_fold(grams, Y[:, defined], plan, number, settings, n_iter))
        _log.info("fold %d of %d: %d images scored", number + 1, n_folds, len(split.score))
    n_targets = Y.shape[1]

    def spread(values: Floats) -> Floats:
        whole = np.full((*values.shape[:-1], n_targets), np.nan, np.float32)
        whole[..., defined] = values
        return whole

    by_fold = np.stack([fold.r for fold in folds])
    r = spread(by_fold.mean(axis=0))
    n_scored = max(int(np.isfinite(by_fold).all(axis=0).sum()), 1)
    influence = np.stack([fold.influence for fold in folds]) / n_scored
    # Models without two folds are not kept here: all of the variance counts twice.
    interval = np.array(r_interval(by_fold, influence, 1.0))
    fold_alpha = spread(np.stack([fold.alpha for fold in folds]))
    alpha = lower_median(fold_alpha)
    unknown = np.full(n_targets, np.nan, np.float32)
    encoding = UnitEncoding(
        layers=(ALL,),
        layer=ALL,
        fold_layers=(ALL,) * n_folds,
        n_images_fit=len(plan.outer[0].fit),
        n_images_scored=sum(map(len, scored)),
        vertices=np.arange(n_targets) if vertices is None else np.asarray(vertices),
        noise_ceiling=unknown if noise_ceiling is None else np.asarray(noise_ceiling, np.float32),
        r=r,
        alpha=alpha,
        fold_alpha=fold_alpha,
        r_layers=r[None],
        alpha_layers=alpha[None],
        interval=interval,
        interval_layers=interval[None],
    )
    partition = spread(np.mean([fold.partition for fold in folds], axis=0))
    return AllLayersEncoding(encoding, layers, partition)


@dataclass(frozen=True)
class _Fold:
    r: Floats
    alpha: Floats
    partition: Floats
    influence: Floats


def _fit_fold(
    grams: Mapping[str, Any], Y: Floats, plan: Plan, number: int, settings: Settings, n_iter: int
) -> _Fold:
    from himalaya.kernel_ridge import (
        predict_weighted_kernel_ridge,
        solve_multiple_kernel_ridge_random_search,
    )
    from himalaya.scoring import correlation_score, r2_score_split
    from sklearn.model_selection import PredefinedSplit

    split = plan.outer[number]
    fit, score = np.array(split.fit), np.array(split.score)
    kernels, kernels_score, scales = _kernels(grams, len(Y), fit, score)
    responses = Y[fit] - Y[fit].mean(axis=0)
    batch = max(1, int(settings.memory // (8 * len(fit) * len(settings.alphas))))
    seed = rng(settings.seed, "encoding", ALL_LAYERS, number)
    with warnings.catch_warnings():
        # A layer alone has weight zero for the others, whose logarithm himalaya expects.
        warnings.simplefilter("ignore", RuntimeWarning)
        deltas, weights, _, alphas = solve_multiple_kernel_ridge_random_search(
            kernels,
            responses,
            n_iter=_weightings(len(kernels), n_iter, seed),
            alphas=_penalties(settings, scales),
            score_func=correlation_score,
            cv=PredefinedSplit(_inner_fold(split, plan.inner[number])),
            return_weights="dual",
            n_targets_batch=batch,
            n_targets_batch_refit=batch,
            progress_bar=False,
            return_alphas=True,
        )
        parts = predict_weighted_kernel_ridge(kernels_score, weights, deltas, split=True)
    parts = np.nan_to_num(np.asarray(parts)).astype(np.float32)
    parts -= parts.mean(axis=1, keepdims=True)
    truth, predicted = standardise(Y[score]), parts.sum(axis=0)
    partition = r2_score_split(Y[score] - Y[score].mean(axis=0), parts)
    return _Fold(
        r=pearson_r(truth, predicted),
        alpha=np.asarray(alphas, np.float32),
        partition=np.asarray(partition, np.float32),
        influence=influences(truth, standardise(predicted)),
    )


def _kernels(
    grams: Mapping[str, Any], n_images: int, fit: Ints, score: Ints
) -> tuple[Floats, Floats, Floats]:
    """Return kernels among fit images and of scored with fit images, and their scales.

    Centred on the fit images and divided by the mean squared norm of these. Only the fold's
    kernels of all layers are in memory together, never whole Gram matrices.
    """
    kernels = np.empty((len(grams), len(fit), len(fit)), np.float32)
    kernels_score = np.empty((len(grams), len(score), len(fit)), np.float32)
    scales = np.empty(len(grams))
    for index, (layer, gram) in enumerate(grams.items()):
        gram = checked_gram(layer, gram, n_images)
        among = gram[np.ix_(fit, fit)].astype(np.float64)
        across = gram[np.ix_(score, fit)].astype(np.float64)
        column_mean = among.mean(axis=0)
        across -= column_mean
        across -= across.mean(axis=1, keepdims=True)
        among -= column_mean
        among -= among.mean(axis=1, keepdims=True)
        scales[index] = np.trace(among) / len(fit)
        divisor = scales[index] if scales[index] > 0 else 1.0
        kernels[index], kernels_score[index] = among / divisor, across / divisor
    return kernels, kernels_score, scales


def _penalties(settings: Settings, scales: Floats) -> Floats:
    """Return the penalties over scaled kernels, evenly spaced by a decade at most."""
    positive = scales[scales > 0]
    penalties = np.asarray([alpha for alpha in settings.alphas if alpha > 0])
    if not positive.size or not penalties.size:
        return np.ones(1, np.float32)
    low, high = penalties.min() / positive.max(), penalties.max() / positive.min()
    n_steps = max(len(penalties), int(np.ceil(np.log10(high / low))) + 1)
    return np.geomspace(low, high, n_steps).astype(np.float32)


def _weightings(n_layers: int, n_iter: int, random: np.random.Generator) -> Floats:
    """Return the weightings to try: each layer alone, all alike, then Dirichlet draws."""
    n_drawn = max(0, n_iter - n_layers - 1)
    drawn = [
        random.dirichlet(np.full(n_layers, _CONCENTRATIONS[i % len(_CONCENTRATIONS)]))
        for i in range(n_drawn)
    ]
    alike = np.full((1, n_layers), 1 / n_layers)
    return np.concatenate([np.eye(n_layers), alike, *(d[None] for d in drawn)]).astype(np.float32)


def _inner_fold(outer: Split, inner: tuple[Split, ...]) -> Ints:
    """Return the inner fold of every fit image, -1 for those that are always fitted."""
    position = {image: at for at, image in enumerate(outer.fit)}
    fold = np.full(len(position), -1)
    for number, split in enumerate(inner):
        fold[[position[image] for image in split.score]] = number
    return fold
