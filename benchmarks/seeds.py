"""The demo over seeds: which of its claims hold in every one of them.

``python benchmarks/seeds.py FOLDER`` runs what the claims need of ``config/config.yaml``, for
every seed and precision, each in a folder of its own (stopped, it goes on where it was), and
prints a row for each run and what holds in all. ``--set contrastive.epochs=12`` tries another
configuration; choose on other seeds than those that are tabled. ``--methods`` goes on with
regression_plus, NOD and the probes, and prints what each method gained over the seeds.
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
from scipy import stats

from cortune.config import Config
from cortune.project import Project

REPOSITORY = Path(__file__).resolve().parents[1]
TABLES = ["tabulate_encoding", "tabulate_transfer", "tabulate_lateralization", "embed_networks"]
MORE = ["tabulate_encoding", "tabulate_transfer", "tabulate_probes"]
ROI = "V1v"
CLAIMS = {
    "contrastive - untuned": "contrastive above untuned in each subject",
    "regression - untuned": "regression not below untuned in the mean",
    "plus - contrastive": "contrastive_plus not below contrastive in the mean",
    "pooled - contrastive": "pooled_mean not below contrastive in the mean",
    "transfer - untuned": "transfer above untuned in the mean",
    "lh - rh": "saliency of lh networks right of that of rh networks in each subject",
    "lh - rh, mean": "the same in the mean over subjects",
    "methods": "networks of one method closer than chance would have it (their distance less it)",
}
"""Figures of a run, and what might be claimed of them: that the least of each is positive."""
PAIRS = [
    ("contrastive", "untuned"),
    ("regression", "untuned"),
    ("contrastive", "regression"),
    ("pooled_mean", "contrastive"),
    ("contrastive_plus", "contrastive"),
    ("regression_plus", "contrastive_plus"),
]


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


def more(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of :func:`configuration` with regression_plus and NOD."""
    whole = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    tuning = {**config["tuning"], "methods": [*config["tuning"]["methods"], "regression_plus"]}
    transfer = {**config["transfer"], "datasets": whole["transfer"]["datasets"]}
    datasets = {**config["datasets"], "nod": whole["datasets"]["nod"]}
    return {**config, "tuning": tuning, "transfer": transfer, "datasets": datasets}


def run(folder: Path, config: dict[str, Any], stages: Sequence[str] = TABLES) -> None:
    """Run some stages, and what they need, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
    subprocess.run([*command, "--cores", "all", "--until", *stages], check=True)


def read(folder: Path, stage: str, output: str) -> pd.DataFrame:
    """Read a table of the configuration that was run last in a folder, whatever else lies there."""
    project = Project(Config.from_file(folder / "config.yaml"))
    return pd.read_csv(folder / project.path(stage, output))


def sides(folder: Path) -> pd.DataFrame:
    """Return laterality of lh less that of rh networks, (n_subjects, n_rois)."""
    saliency = read(folder, "tabulate_lateralization", "table")
    by_side = saliency.pivot_table("li_mean", ["subject", "roi"], "hemisphere")
    return (by_side["lh"] - by_side["rh"]).unstack("roi")


def figures(folder: Path) -> dict[str, list[float]]:
    """Return the figures of a finished run that its claims are about, by name of `CLAIMS`."""
    encoding = read(folder, "tabulate_encoding", "encoding")
    r = encoding[encoding["roi"] == ROI].pivot_table("r_mean", "subject", "method")
    transfer = read(folder, "tabulate_transfer", "subjects")
    tests = read(folder, "embed_networks", "tests").set_index("factor").loc["method"]
    mean = r.mean()
    return {
        "contrastive - untuned": list(r["contrastive"] - r["untuned"]),
        "regression - untuned": [mean["regression"] - mean["untuned"]],
        "plus - contrastive": [mean["contrastive_plus"] - mean["contrastive"]],
        "pooled - contrastive": [mean["pooled_mean"] - mean["contrastive"]],
        "transfer - untuned": [transfer["r_diff_mean"].mean()],
        "lh - rh": list(sides(folder)[ROI]),
        "lh - rh, mean": [sides(folder)[ROI].mean()],
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


def spread(values: pd.Series, digits: int = 3) -> str:
    """Return the mean over runs, then the least and the most."""
    mean, low, high = (f"{v:.{digits}f}" for v in (values.mean(), values.min(), values.max()))
    return f"{mean} ({low} to {high})"


def apart(values: pd.Series) -> str:
    """Return a mean difference with its 95 % t interval over runs, and how many are above 0."""
    mean, half = values.mean(), values.sem() * stats.t.ppf(0.975, len(values) - 1)
    above = f"{(values > 0).sum()} of {len(values)}"
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}], {above}"


def by_method(folders: list[Path]) -> str:
    """Return tables of accuracy, of differences, of transfer to NOD, and of probes, over runs.

    Values are means over subjects and hemispheres.
    """
    runs = range(len(folders))

    def tables(name: str, table: str, value: str, by: list[str]) -> pd.DataFrame:
        each = [read(folder, name, table).groupby(by)[value].mean() for folder in folders]
        return pd.concat(each, axis="columns", keys=runs)

    r = tables("tabulate_encoding", "encoding", "r_mean", ["roi", "method"])
    rois = list(r.index.unique("roi"))
    lines = [f"| method | {' | '.join(rois)} | NOD | probe |", "| --- " * (len(rois) + 3) + "|"]
    nod = tables("tabulate_transfer", "datasets", "r_diff_mean", ["method"])
    probe = tables("tabulate_probes", "table", "accuracy", ["method"])
    for method in r.index.unique("method"):
        cells = [spread(r.loc[roi, method]) for roi in rois]
        cells.append(spread(nod.loc[method]) if method in nod.index else "")
        lines.append(f"| `{method}` | {' | '.join([*cells, spread(probe.loc[method], 2)])} |")
    lines += ["", f"| difference | {' | '.join(rois)} |", "| --- " * (len(rois) + 1) + "|"]
    for one, other in PAIRS:
        cells = [apart(r.loc[roi, one] - r.loc[roi, other]) for roi in rois]
        lines.append(f"| {one} − {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the demos that are not finished, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 6, 7, 8, 9])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--methods", action="store_true", help="and table what each method gained")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    changes = {key: yaml.safe_load(value)
               for key, _, value in (each.partition("=") for each in arguments.set)}  # fmt: skip
    runs, folders = {}, []
    for precision in arguments.precisions:
        for seed in arguments.seeds:
            folder = arguments.folder.resolve() / f"seed-{seed}_{precision}"
            config = configuration(seed, precision, changes)
            run(folder, config)
            runs[f"{seed}, {precision}"] = figures(folder)
            print(table(runs), flush=True)
            if arguments.methods:
                run(folder, more(config), MORE)
                folders.append(folder)
    if arguments.methods:
        print(by_method(folders))


if __name__ == "__main__":
    main()
