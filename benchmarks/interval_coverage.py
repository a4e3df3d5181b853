"""How often the 95 % interval of a unit's mean r holds what it claims to hold.

It claims to hold the population accuracy of the models that were fitted, mean over folds and
voxels. Here that is known: n images have 40 normal features, voxels are linear in them plus
noise, of which `noise` is shared by all voxels, and a model with weights w has r =
w'b / (|w| sqrt(|b|² + 1)) over all images there could be. `heldout_cv` is nested ridge on n
images, with a penalty for each voxel out of four; `tune_test` fits on 5 n other images and
chooses on 2 n / 3 (the default split), `fit_test` fits and chooses by folds on 2 n others,
and n test images score both. Transfer is `heldout_cv` on another's images. Sums of products
stand for Gram matrices, so that thousands of repeats take minutes; a test sees that
`encode_unit` gives the same interval for the same numbers.

    python benchmarks/interval_coverage.py [--repeats 2000] [--images 60 150 528] [--decay 0]

All of it takes about an hour on one core; rows by themselves (`--images`, `--folds`,
`--voxels`, `--protocols`) and repeats in parts (`--seed`) less.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from cortune.encoding.intervals import doubled_share, influences, r_interval
from cortune.encoding.scores import standardise

N_FEATURES = 40
ALPHAS = np.logspace(-1, 5, 4)
VOXELS = (1, 60, 500)
PROTOCOLS = ("heldout_cv", "tune_test", "fit_test")


@dataclass(frozen=True)
class Sums:
    """Sums of products over some images, from which those of fewer are had by subtraction."""

    n: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, Y: np.ndarray) -> Sums:
        return cls(len(X), X.sum(0), Y.sum(0), X.T @ X, X.T @ Y, (Y * Y).sum(0))

    def without(self, *others: Sums) -> Sums:
        rest = [sum(vars(o)[k] for o in others) for k in vars(self)]
        return Sums(*(a - b for a, b in zip(vars(self).values(), rest, strict=True)))

    def weights(self) -> np.ndarray:
        """Return ridge weights, (n_alphas, n_features, n_voxels)."""
        xx = (self.xx - np.outer(self.x, self.x) / self.n).astype(float)
        eigenvalues, axes = np.linalg.eigh(xx)
        turned = axes.T.astype(self.xy.dtype) @ (self.xy - np.outer(self.x, self.y) / self.n)
        shrunk = (axes[None] / (np.maximum(eigenvalues, 0) + ALPHAS[:, None])[:, None]).astype(
            turned.dtype
        )
        return shrunk @ turned

    def r(self, weights: np.ndarray) -> np.ndarray:
        """Return r of predictions of these images, (n_alphas, n_voxels)."""
        xx = self.xx - np.outer(self.x, self.x) / self.n
        xy = self.xy - np.outer(self.x, self.y) / self.n
        square = (weights * (xx @ weights)).sum(1) * (self.yy - self.y**2 / self.n)
        return (weights * xy).sum(1) / np.sqrt(square)


@dataclass(frozen=True)
class Brain:
    """Voxels that are linear in features, up to noise of variance one."""

    weights: np.ndarray  # (n_features, n_voxels), of features of variance one
    shared: float
    scale: np.ndarray  # (n_features,): standard deviations of the features

    @classmethod
    def draw(cls, r: float, shared: float, n_voxels: int, decay: float = 0.0) -> Brain:
        scale = np.arange(1.0, N_FEATURES + 1) ** -decay
        scale *= np.sqrt(N_FEATURES / (scale**2).sum())
        weights = scale[:, None] * np.random.default_rng(5).normal(size=(N_FEATURES, n_voxels))
        weights *= r / np.sqrt(1 - r**2) / np.linalg.norm(weights, axis=0)
        return cls(weights, shared, scale)

    def images(self, random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        def normal(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, dtype=np.float32)

        Z = normal(n, N_FEATURES)
        Y = Z @ self.weights.astype(np.float32)
        Y += np.sqrt(1 - self.shared, dtype=np.float32) * normal(*Y.shape)
        Y += np.sqrt(self.shared, dtype=np.float32) * normal(n, 1)
        return Z * self.scale.astype(np.float32), Y

    def accuracy(self, weights: np.ndarray) -> np.ndarray:
        """Return the population r of fitted weights, (n_voxels,)."""
        weights = weights * self.scale[:, None]
        signal = (weights * self.weights).sum(0) / np.linalg.norm(weights, axis=0)
        return signal / np.sqrt((self.weights**2).sum(0) + 1)


@dataclass(frozen=True)
class Fold:
    """One fold's images, its model, models without it and another, and their penalties."""

    X: np.ndarray
    Y: np.ndarray
    model: np.ndarray
    without_two: list[np.ndarray]


def heldout_cv(brain: Brain, random: np.random.Generator, n: int, n_folds: int) -> list[Fold]:
    X, Y = brain.images(random, n)
    size = n // n_folds
    parts = [slice(k * size, (k + 1) * size) for k in range(n_folds)]
    sums, whole = [Sums.of(X[part], Y[part]) for part in parts], Sums.of(X, Y)
    inner = {
        pair: whole.without(*(sums[k] for k in pair)).weights()
        for pair in combinations(range(n_folds), 2)
    }
    folds = []
    for k, part in enumerate(parts):
        pairs = [pair for pair in inner if k in pair]
        scores = [sums[sum(pair) - k].r(inner[pair]) for pair in pairs]
        choice = np.mean(scores, axis=0).argmax(0)
        models = [whole.without(sums[k]).weights(), *(inner[pair] for pair in pairs)]
        model, *rest = (_chosen(weights, choice) for weights in models)
        folds.append(Fold(X[part], Y[part], model, rest))
    return folds


def tune_test(brain: Brain, random: np.random.Generator, n: int, n_folds: int) -> list[Fold]:
    fit, validation = (Sums.of(*brain.images(random, m)) for m in (5 * n, 2 * n // 3))
    model = fit.weights()
    return [Fold(*brain.images(random, n), _chosen(model, validation.r(model).argmax(0)), [])]


def fit_test(brain: Brain, random: np.random.Generator, n: int, n_folds: int) -> list[Fold]:
    X, Y = brain.images(random, 2 * n)
    whole, size = Sums.of(X, Y), 2 * n // n_folds
    parts = [slice(k * size, (k + 1) * size) for k in range(n_folds)]
    sums = [Sums.of(X[part], Y[part]) for part in parts]
    choice = np.mean([s.r(whole.without(s).weights()) for s in sums], axis=0).argmax(0)
    return [Fold(*brain.images(random, n), _chosen(whole.weights(), choice), [])]


def _chosen(weights: np.ndarray, choice: np.ndarray) -> np.ndarray:
    return np.take_along_axis(weights, choice[None, None], 0)[0]


def intervals(folds: list[Fold], voxels: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """Return the intervals that the package gives to so many first voxels."""
    truth = [standardise(fold.Y) for fold in folds]
    predicted = [
        [standardise(fold.X @ weights) for weights in (fold.model, *fold.without_two)]
        for fold in folds
    ]
    found = {}
    for v in voxels:
        pairs = list(zip(truth, predicted, strict=True))
        moved = np.array([[influences(y[:, :v], p[:, :v]) / v for p in of] for y, of in pairs])
        r = np.array([(y[:, :v] * of[0][:, :v]).sum(0) for y, of in pairs])
        found[v] = r_interval(r, moved[:, 0], doubled_share(moved[:, 1:]))
    return found


def coverage(
    protocol: str,
    n: int,
    n_folds: int,
    brain: Brain,
    repeats: int,
    voxels: tuple[int, ...] = VOXELS,
    seed: int = 0,
) -> dict[int, float]:
    """Return the share of intervals that hold the population accuracy, by number of voxels."""
    held = dict.fromkeys(voxels, 0)
    for repeat in range(repeats):
        random = np.random.default_rng([seed, repeat, n, n_folds])
        folds = globals()[protocol](brain, random, n, n_folds)
        accuracy = np.mean([brain.accuracy(fold.model) for fold in folds], axis=0)
        for n_voxels, (low, high) in intervals(folds, voxels).items():
            held[n_voxels] += low <= accuracy[:n_voxels].mean() <= high
    return {n_voxels: count / repeats for n_voxels, count in held.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 150, 528])
    parser.add_argument("--folds", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--voxels", type=int, nargs="+", default=list(VOXELS))
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decay", type=float, default=0.0, help="feature i has SD i^-decay")
    given = parser.parse_args()
    cells = [(r, shared) for shared in (0.0, 0.2) for r in (0.0, 0.15, 0.45)]
    print(
        f"Simulation error of .95 at {given.repeats}: ±{(0.95 * 0.05 / given.repeats) ** 0.5:.4f}"
    )
    print("| protocol | images | folds | voxels |", end="")
    print("".join(f" r {r:g}, shared {shared:g} |" for r, shared in cells))
    print("| --- " * (4 + len(cells)) + "|")
    for n, protocol, n_folds in product(given.images, given.protocols, given.folds):
        if protocol == "tune_test" and n_folds != given.folds[0]:
            continue  # has no folds
        by_cell = [
            coverage(
                protocol,
                n,
                n_folds,
                Brain.draw(r, shared, max(given.voxels), given.decay),
                given.repeats,
                tuple(given.voxels),
                given.seed,
            )
            for r, shared in cells
        ]
        of = n_folds if protocol != "tune_test" else "–"
        for n_voxels in given.voxels:
            row = " | ".join(f"{found[n_voxels]:.3f}" for found in by_cell)
            print(f"| `{protocol}` | {n} | {of} | {n_voxels} | {row} |", flush=True)


if __name__ == "__main__":
    main()
