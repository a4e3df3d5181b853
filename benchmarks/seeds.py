"""The demo over seeds: which of its claims hold in every one of them.

``python benchmarks/seeds.py FOLDER`` runs what the claims need of ``config/config.yaml``, for
every seed and precision, each in a folder of its own (stopped, it goes on where it was), and
prints a row for each run and what holds in all. ``--set contrastive.epochs=12`` tries another
configuration; choose on other seeds than those that are tabled.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
TABLES = ["tabulate_encoding", "tabulate_transfer", "tabulate_lateralization", "embed_networks"]
ROI = "V1v"
CLAIMS = {
    "contrastive - untuned": "contrastive above untuned in each subject",
    "regression - untuned": "regression not below untuned in the mean",
    "plus - contrastive": "contrastive_plus not below contrastive in the mean",
    "pooled - contrastive": "pooled_mean not below contrastive in the mean",
    "transfer - untuned": "transfer above untuned in the mean",
    "lh - rh": "saliency of lh networks right of that of rh networks in each subject",
    "methods": "networks of one method closer than chance would have it (their distance less it)",
}
"""Figures of a run, and what is claimed of them: that the least of each is positive."""


def configuration(seed: int, precision: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the demo's configuration with contrastive_plus, without what no claim needs."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    config["seed"] = seed
    config["tuning"]["precision"] = precision
    config["tuning"]["methods"].append("contrastive_plus")
    del config["datasets"]["nod"], config["transfer"]["datasets"], config["encoding"]["size_curve"]
    config["encoding"]["protocols"] = ["heldout_cv"]
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = config
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    return config


def run(folder: Path, config: dict[str, Any], stages: Sequence[str] = TABLES) -> None:
    """Run what some stages need in a folder; where nothing is given, what the claims do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    subprocess.run([*command, "--cores", "all", "--until", *stages], check=True)


def figures(folder: Path) -> dict[str, list[float]]:
    """Return the figures of a finished run that its claims are about, by name of `CLAIMS`."""

    def read(stage: str, name: str) -> pd.DataFrame:
        files = (folder / "results" / stage).glob(f"*/{name}")
        return pd.read_csv(max(files, key=lambda file: file.stat().st_mtime))

    encoding = read("tabulate_encoding", "encoding.csv")
    r = encoding[encoding["roi"] == ROI].pivot_table("r_mean", "subject", "method")
    transfer = read("tabulate_transfer", "transfer_subjects.csv")
    saliency = read("tabulate_lateralization", "lateralization.csv")
    sides = saliency[saliency["roi"] == ROI].pivot_table("li_mean", "subject", "hemisphere")
    tests = read("embed_networks", "landscape_tests.csv").set_index("factor").loc["method"]
    mean = r.mean()
    return {
        "contrastive - untuned": list(r["contrastive"] - r["untuned"]),
        "regression - untuned": [mean["regression"] - mean["untuned"]],
        "plus - contrastive": [mean["contrastive_plus"] - mean["contrastive"]],
        "pooled - contrastive": [mean["pooled_mean"] - mean["contrastive"]],
        "transfer - untuned": [transfer["r_diff_mean"].mean()],
        "lh - rh": list(sides["lh"] - sides["rh"]),
        "methods": [tests["null_mean"] - tests["statistic"]],
    }


def table(runs: dict[str, dict[str, list[float]]]) -> str:
    """Return a row for each run, and in how many of them each claim holds."""
    lines = [f"| seed, precision | {' | '.join(CLAIMS)} |", "| --- " * (len(CLAIMS) + 1) + "|"]
    for name, found in runs.items():
        cells = [" ".join(f"{value:+.3f}" for value in found[claim]) for claim in CLAIMS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    for claim, words in CLAIMS.items():
        holds = sum(min(found[claim]) > 0 for found in runs.values())
        lines.append(f"- {words}: {holds} of {len(runs)} runs")
    return "\n".join(lines)


def main() -> None:
    """Run the demos that are not finished, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 6, 7, 8, 9])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    changes = {key: yaml.safe_load(value)
               for key, _, value in (each.partition("=") for each in arguments.set)}  # fmt: skip
    runs = {}
    for precision in arguments.precisions:
        for seed in arguments.seeds:
            folder = arguments.folder.resolve() / f"seed-{seed}_{precision}"
            run(folder, configuration(seed, precision, changes))
            runs[f"{seed}, {precision}"] = figures(folder)
            print(table(runs), flush=True)


if __name__ == "__main__":
    main()
