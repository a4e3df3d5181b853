"""``config/lateralization.yaml`` over seeds: which side tuned networks look to.

``python benchmarks/lateralization.py FOLDER`` runs what its saliency needs, and its accuracies, for
every seed in a folder of its own (stopped, it goes on where it was), and prints, for each region,
the laterality index of networks of the left hemisphere less that of those of the right: its mean
over subjects with its interval, and the least and the most of a subject. ``--mirrored`` is its
control: every picture is mirrored, so that every sign must turn; it is run for the index alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from seeds import REPOSITORY, read, run, sides

TABLE = "tabulate_lateralization"
MORE = ["tabulate_encoding", "tabulate_probes"]


def row(folder: Path, rois: list[str], stages: list[str]) -> list[str]:
    """Return the cells of a finished run."""
    found = sides(folder)
    tests = read(folder, TABLE, "tests")
    tests = tests[tests["level"] == "roi"].set_index("group")
    cells = [
        f"{tests.loc[roi, 'li_diff_mean']:+.3f} [{tests.loc[roi, 'ci_low']:+.3f}, "
        f"{tests.loc[roi, 'ci_high']:+.3f}] ({found[roi].min():+.3f} to {found[roi].max():+.3f})"
        for roi in rois
    ]
    networks = read(folder, TABLE, "table").set_index("method")
    cells += [
        f"{networks.loc['untuned', 'li_mean']:+.3f}",
        f"{networks.loc['contrastive', 'r_randomised'].mean():.2f}",
    ]
    if MORE[0] not in stages:
        return cells
    r = read(folder, "tabulate_encoding", "encoding").pivot_table(
        "r_mean", ["subject", "hemisphere", "roi"], "method"
    )
    gain = r["contrastive"] - r["untuned"]
    accuracy = read(folder, "tabulate_probes", "table").groupby("method")["accuracy"].mean()
    return [
        *cells,
        f"{gain.mean():+.3f} ({gain.min():+.3f} to {gain.max():+.3f})",
        f"{accuracy['untuned']:.2f} to {accuracy['contrastive']:.2f}",
    ]


def main() -> None:
    """Run the seeds that are not finished, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rois", nargs="+", help="these of its regions only")
    parser.add_argument("--mirrored", action="store_true")
    arguments = parser.parse_args()
    config = yaml.safe_load((REPOSITORY / "config" / "lateralization.yaml").read_text())
    nsd = config["datasets"]["nsd"]
    rois = nsd["rois"] = arguments.rois or nsd["rois"]
    nsd["simulate"]["mirrored"] = arguments.mirrored
    stages = [TABLE] if arguments.mirrored else [TABLE, *MORE]
    heads = ["seed", *rois, "untuned", "randomised", *["r, gain", "probe"][: len(stages) - 1]]
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|", flush=True)
    for seed in arguments.seeds:
        folder = arguments.folder.resolve() / f"seed-{seed}{'_mirrored' * arguments.mirrored}"
        run(folder, {**config, "seed": seed}, stages)
        print(f"| {' | '.join([str(seed), *row(folder, rois, stages)])} |", flush=True)


if __name__ == "__main__":
    main()
