"""How often tests over subjects err, and how often they find what there is.

A brain is drawn from variance components that were measured: networks of the same unit from
other seeds, subjects, and the images that saliency or scores are averaged over. Each is
tested as the tables do it (`cortune.encoding.comparison.over_subjects`), replicates averaged.
Where so few subjects allow no p below .05, what is counted is whether the interval leaves out 0.

    python benchmarks/sizes.py [--brains 2000]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from cortune.encoding.comparison import over_subjects

SUBJECTS, REPLICATES = (3, 8), (1, 3, 5)


@dataclass(frozen=True)
class Components:
    """A difference of two networks of a subject, and the standard deviations of its parts."""

    effect: float
    subjects: float  # of the difference, between subjects
    seeds: float  # of one network, between seeds
    images: float  # of one network, from the images it is averaged over
    skewed: bool = False  # effects of subjects exponential instead of normal

    def draw(self, random: np.random.Generator, n_subjects: int, n_replicates: int) -> np.ndarray:
        """Return the difference of each subject, means over replicates."""
        of_subjects = (
            random.exponential(size=n_subjects) - 1
            if self.skewed
            else random.standard_normal(n_subjects)
        )
        networks = np.hypot(self.seeds, self.images) * random.standard_normal(
            (n_replicates, 2, n_subjects)
        ).mean(0)
        return self.effect + self.subjects * of_subjects + networks[0] - networks[1]


# LI: seeds .03 (of 15 pairs of seeds of one unit 7 differ at p < .05 over images, whose standard
# error is .012); lh - rh of six subjects has an SD of .062 between them, of which seeds make .046.
LATERALITY = Components(0.0, 0.042, 0.030, 0.012)
# r of methods: seeds .023 (six of one unit); the others are assumed.
METHODS = Components(0.0, 0.010, 0.023, 0.005)
BRAINS = {
    "laterality: other seeds of one unit; pure noise": replace(LATERALITY, subjects=0.0),
    "laterality: no hemisphere looks aside": LATERALITY,
    "laterality: the same, skewed": replace(LATERALITY, skewed=True),
    "laterality: lh − rh .08 (demo, V1v)": replace(LATERALITY, effect=0.08),
    "laterality: lh − rh .29 (12 passes, V1v)": replace(LATERALITY, effect=0.29),
    "methods: none better": METHODS,
    "methods: gain of .02": replace(METHODS, effect=0.02),
    "methods: gain of .05": replace(METHODS, effect=0.05),
}


def called_different(
    of: Components, n_subjects: int, n_replicates: int, brains: int, seed: int = 0
) -> tuple[float, float]:
    """Return the shares of brains with p <= .05, NaN if none can, and with 0 left out."""
    random = np.random.default_rng([seed, n_subjects, n_replicates])
    found = [
        over_subjects(of.draw(random, n_subjects, n_replicates), 300, 10_000, brain)
        for brain in range(brains)
    ]
    p = np.array([each["p_value"] for each in found])
    apart = np.array([each["ci_low"] > 0 or each["ci_high"] < 0 for each in found])
    return float((p <= 0.05).mean()) if np.isfinite(p).all() else np.nan, float(apart.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--brains", type=int, default=2000)
    brains = parser.parse_args().brains
    cells = [(s, r) for s in SUBJECTS for r in REPLICATES]
    print(f"Simulation error of .05 at {brains}: ±{(0.05 * 0.95 / brains) ** 0.5:.3f}")
    print("| share with p ≤ .05 / interval without 0 |", end="")
    print("".join(f" {s} subjects × {r} |" for s, r in cells))
    print("| --- " * (1 + len(cells)) + "|")
    for name, of in BRAINS.items():
        shares = [called_different(of, s, r, brains) for s, r in cells]
        row = (f"{'–' if np.isnan(p) else f'{p:.3f}'} / {apart:.3f}" for p, apart in shares)
        print(f"| {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
