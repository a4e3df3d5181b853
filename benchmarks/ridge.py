"""Ridge and scores of one fold and layer, against scikit-learn and himalaya.

Everyone starts from the same principal-component scores of 5354 fit and 1338 held-out
images (n = 6692 in five folds) and ends with Pearson r of every voxel at every penalty.
scikit-learn: a loop of Ridge over penalties and of scipy's pearsonr over voxels, float64,
as in the published code. himalaya: its solvers' own search over penalties, with correlation
as score and the same held-out images, without the refit that would follow; float32, as its
users run it. Its kernel solver decomposes a 5354 x 5354 kernel and is run once.

    python benchmarks/ridge.py [--voxels 700 4000] [--runs 5] [--against "himalaya RidgeCV"]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from timing import gemm_rate, once, paired, peak_bytes, ratio

from cortune.arrays import to_array, to_numpy
from cortune.encoding.protocols import LARGEST_BLOCK
from cortune.encoding.ridge import Factor, norm_factor, rotate, score_alphas
from cortune.encoding.scores import best, standardise

N_FIT, N_SCORE, N_COMPONENTS = 5354, 1338, 1000
ALPHAS = np.logspace(-1, 7, 9)


@dataclass(frozen=True)
class Problem:
    """Scores of images on components, as U sqrt(eigenvalues), and responses."""

    axes: np.ndarray
    eigenvalues: np.ndarray
    scores: np.ndarray
    Y: np.ndarray
    Y_score: np.ndarray

    @property
    def X(self) -> np.ndarray:
        return self.axes * np.sqrt(self.eigenvalues)


def make_problem(n_voxels: int, seed: int = 0) -> Problem:
    """Draw features whose spectrum falls as a power law, and voxels with noise of equal size."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((N_FIT, N_COMPONENTS))
    axes = np.linalg.qr(axes - axes.mean(0))[0]
    eigenvalues = 1e7 / np.arange(1, N_COMPONENTS + 1)
    held_out = rng.standard_normal((N_SCORE, N_COMPONENTS)) * np.sqrt(eigenvalues / N_FIT)
    weights = rng.standard_normal((N_COMPONENTS, n_voxels))
    X = axes * np.sqrt(eigenvalues)
    clean, clean_score = X @ weights, held_out @ weights
    spread = clean.std()
    return Problem(
        axes,
        eigenvalues,
        held_out,
        clean / spread + rng.standard_normal(clean.shape),
        clean_score / spread + rng.standard_normal(clean_score.shape),
    )


def cortune_r(problem: Problem, device: str | None = None):
    """Return a function that scores every voxel at every penalty, as encode_roi does."""
    axes, scores, Y, Y_score = (
        to_array(values.astype(np.float32), device)
        for values in (
            problem.axes,
            problem.scores - problem.scores.mean(0),
            problem.Y,
            problem.Y_score,
        )
    )
    eigenvalues, alphas = to_array(problem.eigenvalues, device), to_array(ALPHAS, device)

    def block(targets: slice, factor: Factor) -> np.ndarray:
        turned, truth = rotate(axes, Y[:, targets]), standardise(Y_score[:, targets])
        return to_numpy(score_alphas(scores, eigenvalues, turned, truth, alphas, factor))

    def run() -> np.ndarray:
        factor = norm_factor(scores)
        starts = range(0, Y.shape[1], LARGEST_BLOCK)
        return np.hstack([block(slice(at, at + LARGEST_BLOCK), factor) for at in starts])

    return run


def sklearn_r(problem: Problem):
    """Return a function that does the same with scikit-learn and scipy, in float64."""
    from scipy.stats import pearsonr
    from sklearn.linear_model import Ridge

    X, n_voxels = problem.X, problem.Y.shape[1]

    def run() -> np.ndarray:
        r = np.empty((len(ALPHAS), n_voxels))
        for row, alpha in zip(r, ALPHAS, strict=True):
            predicted = Ridge(alpha=alpha).fit(X, problem.Y).predict(problem.scores)
            for voxel in range(n_voxels):
                row[voxel] = pearsonr(problem.Y_score[:, voxel], predicted[:, voxel])[0]
        return r

    return run


def himalaya_r(problem: Problem, kernel: bool):
    """Return a function that finds each voxel's best r with one of himalaya's solvers."""
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from himalaya.ridge import solve_group_ridge_random_search
    from himalaya.scoring import correlation_score
    from sklearn.model_selection import PredefinedSplit

    X, Y, X_score, Y_score = (
        values.astype(np.float32)
        for values in (problem.X, problem.Y, problem.scores, problem.Y_score)
    )
    # The solvers centre nothing by themselves; all of this is outside the time taken.
    X_score -= X.mean(0)
    X, Y, Y_score = X - X.mean(0), Y - Y.mean(0), Y_score - Y.mean(0)
    X, Y = np.concatenate([X, X_score]), np.concatenate([Y, Y_score])
    split = PredefinedSplit(np.r_[np.full(N_FIT, -1), np.zeros(N_SCORE, int)])
    options = {
        "n_iter": np.ones((1, 1), np.float32),
        "alphas": ALPHAS.astype(np.float32),
        "score_func": correlation_score,
        "cv": split,
        "return_weights": None,
        "progress_bar": False,
    }

    def run() -> np.ndarray:
        if kernel:
            kernels = (X @ X.T)[None]
            found = solve_multiple_kernel_ridge_random_search(kernels, Y, **options)
        else:
            found = solve_group_ridge_random_search([X], Y, warn=False, **options)
        return np.asarray(found[2])[0]

    return run


OTHERS = {
    "scikit-learn": sklearn_r,
    "himalaya RidgeCV": partial(himalaya_r, kernel=False),
    "himalaya KernelRidgeCV": partial(himalaya_r, kernel=True),
}
SLOW = "himalaya KernelRidgeCV"


def measure(n_voxels: int, runs: int, against: Sequence[str]) -> list[dict]:
    problem = make_problem(n_voxels)
    makers = {"cortune": cortune_r, **{name: OTHERS[name] for name in against}}
    found: dict[str, np.ndarray] = {}

    def keeping(name: str, run: Callable[[], np.ndarray]) -> Callable[[], None]:
        return lambda: found.update({name: run()})

    contestants = {name: keeping(name, make(problem)) for name, make in makers.items()}
    slow = {name: run for name, run in contestants.items() if name == SLOW}
    times = paired({name: run for name, run in contestants.items() if name != SLOW}, runs)
    times |= {name: once(run) for name, run in slow.items()}
    r, ours = found["cortune"], times["cortune"]
    chosen = np.take_along_axis(r, best(r)[None], 0)[0]
    rows, differences = [], {}
    for name in against:
        compared = r if found[name].ndim == 2 else chosen
        differences[name] = np.abs(compared - found[name]).max()
        timing = times[name]
        faster = timing.median / ours.median if name == SLOW else ratio(timing, ours)
        rows.append((name, timing, faster))
    factor = norm_factor(problem.scores)
    norms = len(ALPHAS) * sum(rows.size for _, rows in factor)
    flops = 2 * n_voxels * (N_COMPONENTS * (N_FIT + N_SCORE) + norms)
    rate = gemm_rate("float32")
    return [
        {
            "what": f"ridge and scores, n=6692, 1000 PCs, V={n_voxels}, 9 alphas",
            "against": name,
            "seconds": times["cortune"].median,
            "seconds_other": timing.median,
            "runs_other": len(timing.seconds),
            "ratio": times_as_fast,
            "max_abs_r_difference": float(differences[name]),
            "gflops": flops / times["cortune"].median / 1e9,
            "gemm_gflop": flops / 1e9,
            "gemm_s": flops / 1e9 / rate,
            "peak_gb": peak_bytes() / 1e9,
        }
        for name, timing, times_as_fast in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=[700, 4000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--against", nargs="+", choices=OTHERS, default=list(OTHERS))
    options = parser.parse_args()
    rows = [
        row
        for n_voxels in options.voxels
        for row in measure(n_voxels, options.runs, options.against)
    ]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
