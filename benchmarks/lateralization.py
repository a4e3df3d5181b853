"""``config/lateralization.yaml`` over seeds: which side tuned networks look to.

``python benchmarks/lateralization.py FOLDER`` runs what its saliency needs, for every seed in a
folder of its own (stopped, it goes on where it was), and prints, for each region, the laterality
index of networks of the left hemisphere less that of those of the right, subject by subject.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from seeds import REPOSITORY, run, sides

TABLE = "tabulate_lateralization"


def main() -> None:
    """Run the seeds that are not finished, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rois", nargs="+", help="these of its regions only")
    arguments = parser.parse_args()
    config = yaml.safe_load((REPOSITORY / "config" / "lateralization.yaml").read_text())
    config["datasets"]["nsd"]["rois"] = arguments.rois or config["datasets"]["nsd"]["rois"]
    rows = []
    for seed in arguments.seeds:
        folder = arguments.folder.resolve() / f"seed-{seed}"
        run(folder, {**config, "seed": seed}, [TABLE])
        found = sides(folder)
        if not rows:
            rows = [f"| seed | {' | '.join(found)} |", "| --- " * (found.shape[1] + 1) + "|"]
        cells = [
            f"{values.mean():+.3f}: {' '.join(f'{value:+.3f}' for value in values)}"
            for _, values in found.items()
        ]
        rows.append(f"| {seed} | {' | '.join(cells)} |")
        print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
