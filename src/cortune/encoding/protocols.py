"""Encoding of one unit: layers, protocols, selection, intervals.

A unit is the responses of one ROI of one subject's hemisphere, predicted from one
network. Layers are the outermost loop, so the Gram of a single layer is in memory at a
time; within a layer every set of fit images is decomposed once, whatever the number of
targets, penalties and protocols that use it; targets are taken in blocks that fit the
memory allowed. Decompositions may also be given: those of a network that serves several
ROIs are made once (:mod:`cortune.encoding.components`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from array_api_compat import array_namespace

from cortune.arrays import Array, to_array, to_numpy
from cortune.encoding import folds
from cortune.encoding.folds import PROTOCOLS, Images, Plan, Sets, Split
from cortune.encoding.intervals import doubled_share, influences, r_interval
from cortune.encoding.results import NO_LAYER, UnitEncoding
from cortune.encoding.ridge import (
    Factor,
    norm_factor,
    predict,
    principal_components,
    project,
    rotate,
    score_alphas,
)
from cortune.encoding.scores import Floats, Ints, best, mean_over_targets, standardise
from cortune.errors import InputError
from cortune.seeds import rng

LARGEST_BLOCK = 1024
"""Targets at once; more are slower, for their arrays leave the processor's caches."""

Grams = Mapping[str, Any]
Name = TypeVar("Name")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What an encoding model is, whatever the protocol.

    Parameters
    ----------
    alphas : sequence of float
        Ridge penalties to choose from, ascending.
    n_components : int
        Principal components to keep at most.
    seed : int
    device : str, optional
        None computes with NumPy; a torch device (``cpu``, ``cuda:0``) with torch.
    memory : float
        Bytes that the blocks of targets may take, beside one layer's decompositions.
    n_bootstrap : int
        Has no effect: intervals are no longer resampled, and callers may still name it.
    """

    alphas: Sequence[float]
    n_components: int = 1000
    seed: int = 0
    device: str | None = None
    memory: float = 1e9
    n_bootstrap: int = 0

    def __post_init__(self) -> None:
        alphas = np.asarray(self.alphas, dtype=np.float64)
        if alphas.size == 0 or not (alphas >= 0).all() or self.n_components < 1:
            raise InputError(
                "encoding",
                f"alphas {list(self.alphas)} and n_components {self.n_components}",
                "at least one penalty, none negative, and one component or more",
                "Correct `encoding.alphas` or `encoding.n_components`.",
            )


def encode_unit(
    grams: Grams,
    Y: Floats,
    sets: Sets,
    settings: Settings,
    *,
    protocols: Sequence[str] = ("heldout_cv", "published"),
    n_folds: int = 5,
    noise_ceiling: Floats | None = None,
    vertices: Ints | None = None,
    models: Models | None = None,
) -> dict[str, UnitEncoding]:
    """Score every layer of one network against one ROI, under several protocols.

    Parameters
    ----------
    grams : mapping of str to array of shape (n_images, n_images)
        Gram of each layer, float32 or float64; read one at a time. In float32, features
        should have been centred over the images: rounding inner products that a large
        common mean dominates loses the small components (r is then off by up to 1e-3
        for weak penalties, instead of 1e-6).
    Y : array of shape (n_images, n_targets)
        Responses; computed with in float32.
    sets : mapping of str to array
        Positions, or boolean masks, of the images in ``tune``, ``validation``, ``fit``
        and ``test``.
    settings : Settings
    protocols : sequence of str
        Keys of :data:`cortune.encoding.folds.PROTOCOLS`.
    n_folds : int
    noise_ceiling : array of shape (n_targets,), optional
        Share of variance; NaN, or absent, where unknown.
    vertices : array of shape (n_targets,), optional
        Positions of the targets in the hemisphere.
    models : callable, optional
        Gives what :func:`decompose_gram` made of a layer's Gram, which is then not read.

    Returns
    -------
    encodings : dict of str to UnitEncoding
        By protocol.

    Raises
    ------
    InputError
        If an input is mis-shaped or not finite, or a protocol is not known.
    LeakageError
        If sets share images.
    """
    plans = plans_of(protocols, sets, n_folds, settings.seed)
    return encode(
        grams, Y, plans, settings, noise_ceiling=noise_ceiling, vertices=vertices, models=models
    )


def plans_of(protocols: Sequence[str], sets: Sets, n_folds: int, seed: int) -> dict[str, Plan]:
    """Return the plan of each protocol; errors as in :func:`encode_unit`."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise InputError(
                "encoding.protocols",
                repr(name),
                f"some of {', '.join(PROTOCOLS)}",
                "Correct the name in the configuration.",
            )
    return {name: PROTOCOLS[name](sets, n_folds, seed) for name in protocols}


def size_curve(
    grams: Grams,
    Y: Floats,
    sets: Sets,
    settings: Settings,
    *,
    sizes: Iterable[int],
    n_folds: int = 5,
) -> dict[int, UnitEncoding]:
    """Score models fitted on growing, nested subsets of the images kept for encoding models.

    Where no image is, the tuning images take their place.

    Penalty and layer are chosen by cross-validation within each subset, and the test
    images score it, so all sizes are judged by the same images. A size costs
    `n_folds` + 1 eigendecompositions per layer, cubic in the size.

    Parameters
    ----------
    grams, Y, sets, settings, n_folds
        As in :func:`encode_unit`.
    sizes : iterable of int
        Numbers of images to fit on. Sizes beyond the images there are become one point,
        all of them.

    Returns
    -------
    encodings : dict of int to UnitEncoding
        By number of images fitted, ascending.
    """
    pool = np.array(folds.image_set(sets, "fit" if np.any(sets.get("fit", False)) else "tune"))
    order = rng(settings.seed, "encoding", "size_curve").permutation(pool).tolist()
    score = folds.image_set(sets, "test")
    plans = {
        size: folds.fit_size(order[:size], score, n_folds)
        for size in sorted({min(size, len(order)) for size in sizes})
    }
    return encode(grams, Y, plans, settings)


def encode(
    grams: Grams,
    Y: Floats,
    plans: Mapping[Name, Plan],
    settings: Settings,
    *,
    noise_ceiling: Floats | None = None,
    vertices: Ints | None = None,
    models: Models | None = None,
) -> dict[Name, UnitEncoding]:
    """Carry out several plans together, sharing every decomposition they share.

    Parameters and errors as in :func:`encode_unit`; plans as in
    :class:`cortune.encoding.folds.Plan`.
    """
    Y = checked_responses(Y)
    _check_images(plans.values(), Y.shape[0])
    run = _Run(plans, settings, len(grams), Y)

    def made(layer: str) -> dict[Images, Model]:
        gram = checked_gram(layer, grams[layer], Y.shape[0])
        return decompose_gram(gram, plans.values(), settings.n_components, settings.device)

    for index, layer in enumerate(grams):
        run.add_layer(index, (models or made)(layer))
        _log.info("layer %s scored (%d of %d)", layer, index + 1, len(grams))
    n_targets = Y.shape[1]
    unknown = np.full(n_targets, np.nan, dtype=np.float32)
    return {
        name: table.encoding(
            tuple(grams),
            np.arange(n_targets) if vertices is None else np.asarray(vertices),
            unknown if noise_ceiling is None else np.asarray(noise_ceiling, dtype=np.float32),
        )
        for name, table in run.tables.items()
    }


@dataclass(frozen=True)
class Model:
    """A decomposed set of fit images and the scores of the sets it predicts.

    `scores` holds for each scored set its scores on the components, less their mean:
    correlations do not see the offset.
    """

    axes: Array
    eigenvalues: Array
    scores: dict[Images, Array]


Models = Callable[[str], dict[Images, Model]]
"""Gives those of a layer, by the images fitted."""


def decompose_gram(
    gram: Array, plans: Iterable[Plan], n_components: int, device: str | None
) -> dict[Images, Model]:
    """Decompose a layer's Gram for every distinct set of fit images of some plans.

    Parameters
    ----------
    gram : array of shape (n_images, n_images)
        As :func:`checked_gram` returns it.
    plans : iterable of Plan
    n_components, device
        As in :class:`Settings`.
    """
    fitted = _scored(plans)
    images = sorted({i for fit, scored in fitted.items() for s in (fit, *scored) for i in s})
    if len(images) < gram.shape[0]:
        gram = gram[np.ix_(images, images)]
    gram = to_array(gram, device)
    xp = array_namespace(gram)

    def place(members: Images) -> Array:
        return to_array(np.searchsorted(images, members), device)

    models = {}
    for fit in sorted(fitted):
        columns = xp.take(gram, place(fit), axis=1)
        components = principal_components(xp.take(columns, place(fit), axis=0), n_components)
        scores = {}
        for score in sorted(fitted[fit]):
            projected = project(components, xp.take(columns, place(score), axis=0))
            scores[score] = xp.astype(projected - xp.mean(projected, axis=0), xp.float32)
        models[fit] = Model(
            axes=xp.astype(components.axes, xp.float32, copy=True),
            eigenvalues=components.eigenvalues,
            scores=scores,
        )
    return models


def _scored(plans: Iterable[Plan]) -> dict[Images, set[Images]]:
    """Return what models on each distinct set of fit images predict."""
    found: dict[Images, set[Images]] = {}
    for split in set[Split]().union(*(plan.splits for plan in plans)):
        found.setdefault(split.fit, set()).add(split.score)
    return found


class _Run(Generic[Name]):
    """Several plans on their way through the layers."""

    def __init__(
        self, plans: Mapping[Name, Plan], settings: Settings, n_layers: int, Y: Floats
    ) -> None:
        self.plans = plans
        self.settings = settings
        self.Y = Y
        self.alphas = np.asarray(settings.alphas, dtype=np.float64)
        self.tables = {name: _Table(plan, n_layers, Y.shape[1]) for name, plan in plans.items()}
        self.scored = _scored(plans.values())

    def add_layer(self, layer: int, models: Mapping[Images, Model]) -> None:
        """Score one layer, block of targets by block."""
        factors = {
            Split(fit, score): norm_factor(scores)
            for fit, model in models.items()
            for score, scores in model.scores.items()
        }
        for block in self._blocks():
            self._score_block(layer, models, factors, block)

    def _to_device(self, values: Any) -> Array:
        return to_array(values, self.settings.device)

    def _score_block(
        self,
        layer: int,
        models: Mapping[Images, Model],
        factors: Mapping[Split, Factor],
        block: slice,
    ) -> None:
        """Fit and score every model for one block of targets, then choose for every plan."""
        Y = self._to_device(self.Y[:, block])
        xp = array_namespace(Y)

        def responses(images: Images) -> Array:
            return xp.take(Y, self._to_device(np.array(images)), axis=0)

        penalties = self._to_device(self.alphas)
        scored = set[Images]().union(*self.scored.values())
        truth = {images: standardise(responses(images)) for images in scored}
        rotated: dict[Images, Array] = {}
        r: dict[Split, Floats] = {}
        for fit, model in models.items():
            turned = rotate(model.axes, responses(fit))
            for score, scores in model.scores.items():
                split = Split(fit, score)
                r[split] = to_numpy(
                    score_alphas(
                        scores, model.eigenvalues, turned, truth[score], penalties, factors[split]
                    )
                )
            rotated[fit] = turned
        for name, plan in self.plans.items():
            # NaN for a voxel that is constant in any fold: no r, no part in the interval.
            defined = 1 + 0 * sum(truth[split.score][:1, :] for split in plan.outer)
            for fold, split in enumerate(plan.outer):
                selection = np.mean([r[inner] for inner in plan.inner[fold]], axis=0)
                choice = best(selection)[None]
                alpha = self.alphas[choice[0]]
                influence = [
                    self._influences(
                        truth[split.score] * defined, models[fit], split.score, rotated[fit], alpha
                    )
                    for fit in (split.fit, *plan.without_two[fold])
                ]
                self.tables[name].add(
                    (layer, fold, block),
                    selection=np.take_along_axis(selection, choice, 0)[0],
                    r=np.take_along_axis(r[split], choice, 0)[0],
                    alpha=alpha,
                    influence=influence,
                )

    def _influences(
        self, truth: Array, model: Model, score: Images, rotated: Array, alpha: Floats
    ) -> Floats:
        """Return influences on the r of predictions, each target with its own penalty."""
        penalty = self._to_device(alpha)
        predicted = predict(model.scores[score], model.eigenvalues, rotated, penalty)
        return to_numpy(influences(truth, standardise(predicted)))

    def _blocks(self) -> Iterator[slice]:
        """Cut the targets into blocks that fit the memory allowed."""
        largest_fit = max(map(len, self.scored))
        scored = [score for scores in self.scored.values() for score in scores]
        k = min(self.settings.n_components, largest_fit)
        per_target = 4 * (
            (len(self.scored) + 5) * k  # rotated targets kept; weights and products while scoring
            + 4 * largest_fit  # responses and their centring, float64 for a moment
            + 3 * sum(map(len, set(scored)))  # standardised responses
            + 6 * max(map(len, scored))  # predictions
            + len(scored) * self.alphas.size
        )
        n_targets = self.Y.shape[1]
        size = max(1, min(LARGEST_BLOCK, int(self.settings.memory // per_target)))
        for start in range(0, n_targets, size):
            yield slice(start, min(start + size, n_targets))


class _Table:
    """What a plan collects over layers, folds and blocks of targets, and what it says."""

    def __init__(self, plan: Plan, n_layers: int, n_targets: int) -> None:
        self.plan = plan
        shape = (n_layers, len(plan.outer), n_targets)
        self.selection = np.full(shape, np.nan, dtype=np.float32)
        self.r = np.full(shape, np.nan, dtype=np.float32)
        self.alpha = np.full(shape, np.nan, dtype=np.float32)
        n_models = 1 + len(plan.without_two[0])
        self.influence = np.zeros((*shape[:2], n_models, len(plan.outer[0].score)))

    def add(
        self,
        at: tuple[int, int, slice],
        *,
        selection: Floats,
        r: Floats,
        alpha: Floats,
        influence: Sequence[Floats],
    ) -> None:
        """Enter the scores of one layer, fold and block of targets."""
        self.selection[at] = selection
        self.r[at] = r
        self.alpha[at] = np.where(np.isnan(selection), np.nan, alpha)
        self.influence[at[:2]] += influence

    def encoding(
        self, layers: tuple[str, ...], vertices: Ints, noise_ceiling: Floats
    ) -> UnitEncoding:
        """Choose each fold's layer by its selection scores and sum up."""
        layer_scores = mean_over_targets(self.selection)
        chosen = best(layer_scores)
        fold = np.arange(chosen.size)
        r_layers = self.r.mean(axis=1)
        r = self.r[chosen, fold].mean(axis=0)
        fold_alpha = self.alpha[chosen, fold]
        names = tuple(
            layers[c] if np.isfinite(layer_scores[c, f]) else NO_LAYER
            for f, c in enumerate(chosen.tolist())
        )
        return UnitEncoding(
            layers=layers,
            layer=_most_chosen(names, dict(zip(layers, layer_scores.mean(axis=1), strict=True))),
            fold_layers=names,
            n_images_fit=len(self.plan.outer[0].fit),
            n_images_scored=sum(len(split.score) for split in self.plan.outer),
            vertices=vertices,
            noise_ceiling=noise_ceiling,
            r=r,
            alpha=lower_median(fold_alpha),
            fold_alpha=fold_alpha,
            r_layers=r_layers,
            alpha_layers=lower_median(self.alpha.swapaxes(0, 1)),
            interval=self._interval(chosen),
            interval_layers=np.array([self._interval(at) for at in range(len(layers))]),
        )

    def _interval(self, layer: Ints | int) -> Floats:
        """Return the interval with one layer, or one of each fold."""
        fold = np.arange(len(self.plan.outer))
        r = self.r[layer, fold]
        influence = self.influence[layer, fold] / max(np.isfinite(r).all(axis=0).sum(), 1)
        return np.array(r_interval(r, influence[:, 0], doubled_share(influence[:, 1:])))


def _most_chosen(names: Sequence[str], scores: Mapping[str, float]) -> str:
    """Return the most frequent name, of equals the one with the higher score."""
    count = Counter(names)
    return max(count, key=lambda name: (count[name], scores.get(name, -np.inf)))


def lower_median(alpha: Floats) -> Floats:
    """Return the lower median over folds (axis 0), which is one of the penalties tried."""
    median: Floats = np.sort(alpha, axis=0)[(alpha.shape[0] - 1) // 2]
    return median


def _check_images(plans: Iterable[Plan], n_images: int) -> None:
    splits = set[Split]().union(*(plan.splits for plan in plans))
    last = max(max(*split.fit, *split.score) for split in splits)
    if last >= n_images:
        raise InputError(
            "split",
            f"an image at position {last}",
            f"positions below {n_images}, the number of responses",
            "Make the sets from the images that have responses.",
        )


def checked_responses(Y: Floats) -> Floats:
    """Return responses as float32; refuse an empty, mis-shaped or not finite array.

    Raises
    ------
    InputError
    """
    Y = np.asarray(Y)
    if Y.ndim != 2 or 0 in Y.shape:
        raise InputError(
            "responses",
            f"an array of shape {Y.shape}",
            "shape (n_images, n_targets), neither zero",
            "Leave empty ROIs out before encoding.",
        )
    bad = ~np.isfinite(Y).all(axis=0)
    if bad.any():
        raise InputError(
            "responses",
            f"{bad.sum()} of {bad.size} voxels with a NaN or infinite response, "
            f"the first in column {int(bad.argmax())}",
            "finite responses",
            "Leave these voxels out of the ROI, or prepare the responses again.",
        )
    return Y.astype(np.float32, copy=False)


def checked_gram(layer: str, gram: Any, n_images: int) -> Array:
    """Return a layer's Gram; refuse one of other images, or with NaN or infinity.

    Raises
    ------
    InputError
    """
    gram = np.asarray(gram)
    if gram.shape != (n_images, n_images) or gram.dtype.kind != "f":
        raise InputError(
            f"Gram of {layer}",
            f"{gram.dtype} of shape {gram.shape}",
            f"floats of shape ({n_images}, {n_images}), as many images as responses",
            "Extract the features of exactly these images.",
        )
    if not np.isfinite(gram).all():
        raise InputError(
            f"Gram of {layer}",
            "NaN or infinite entries",
            "finite inner products",
            "The network's activations overflow: check its weights or tune it in float32.",
        )
    return gram
