"""How often 95 % intervals of CKA and RSA hold the similarity in the population of images.

``python benchmarks/similarity_coverage.py [--repeats 400] [--signals 0 0.3 1]``

A signal is drawn from a seed of its own, so each can be run alone.
"""

from __future__ import annotations

import argparse

import numpy as np

from cortune.similarity import MEASURES, Relations, intervals, similarity

N_FEATURES, N_VOXELS = 100, 60
N_POPULATION, N_DRAWS = 2000, 20
"""Images of a draw that stands for the population, and how many are averaged."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--signals", type=float, nargs="+", default=[0.0, 0.3, 1.0])
    options = parser.parse_args()
    repeats = options.repeats
    print("measure  images  signal  population  coverage  (simulation's own error)")
    for signal in options.signals:
        random = np.random.default_rng(0)
        maps = [random.normal(size=(8, each)) * signal for each in (N_FEATURES, N_VOXELS)]

        def draw(n: int, random=random, maps=maps) -> tuple[Relations, Relations]:
            shared = random.normal(size=(n, 8))
            values = [shared @ each + random.normal(size=(n, each.shape[1])) for each in maps]
            return Relations.of_values(values[0]), Relations.of_values(values[1])

        found = [
            [similarity(*pair, each) for each in MEASURES]
            for pair in (draw(N_POPULATION) for _ in range(N_DRAWS))
        ]
        for measure, truth in zip(MEASURES, np.mean(found, 0), strict=True):
            for n in (60, 150, 300):
                held = 0
                for repeat in range(repeats):
                    layer, target = draw(n)
                    low, high = intervals([layer], target, measure, 200, repeat)[0]
                    held += low <= truth <= high
                share = held / repeats
                error = (share * (1 - share) / repeats) ** 0.5
                print(
                    f"{measure:8} {n:6} {signal:7} {truth:11.3f} {share:9.3f}  ±{error:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
