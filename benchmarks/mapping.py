"""``config/mapping.yaml`` over seeds: what tuning gains where encoding models have the data.

``python benchmarks/mapping.py FOLDER`` runs its size curve for every seed in a folder of its own
(stopped, it goes on where it was), and prints, by the number of images that encoding models are
fitted on, the untuned network's mean r (the least and the most), and what each method gains.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import yaml
from seeds import REPOSITORY, apart, read, run, spread

TABLE = "tabulate_size_curve"


def main() -> None:
    """Run the seeds that are not finished, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    config = yaml.safe_load((REPOSITORY / "config" / "mapping.yaml").read_text())
    folders = [arguments.folder.resolve() / f"seed-{seed}" for seed in arguments.seeds]
    for seed, folder in zip(arguments.seeds, folders, strict=True):
        run(folder, {**config, "seed": seed}, [TABLE])
    curves = pd.concat([read(folder, TABLE, "table") for folder in folders], keys=arguments.seeds)
    r = curves.pivot_table("r_mean", ["n_images_fit", curves.index.get_level_values(0)], "method")
    methods = [name for name in config["tuning"]["methods"] if name != "untuned"]
    print(f"| images | untuned | {' | '.join(methods)} |")
    print("| --- " * (len(methods) + 2) + "|")
    for n, found in r.groupby("n_images_fit"):
        untuned = found["untuned"]
        cells = [apart(found[name] - untuned) for name in methods]
        print(f"| {n} | {spread(untuned)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
