"""One network for all ROIs against one for each: accuracy, time and disk on a simulated brain.

``python benchmarks/joint.py --seed 3 FOLDER`` runs the workflow's jobs, up to encoding models,
for a brain and networks of a seed, in this process; stopped, it goes on where it was. Without
``--seed`` it prints the table of what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))

ROIS = ["V1v", "hV4", "PPA"]
METHODS = ["untuned", "contrastive_plus", "joint", "joint_pooled", "pooled_mean"]
TUNES = ("tune_network", "tune_pooled")


def config(
    seed: int, methods: list[str], rois: list[str], joint: dict[str, object]
) -> dict[str, object]:
    """Return the configuration of a run: two subjects, two hemispheres."""
    plus = {"image_layer": "features.12", "batch_size": 32, "epochs": 5, "learning_rate": 4.0e-3}
    return {
        "seed": seed,
        "datasets": {
            "nsd": {
                "layout": "algonauts2023",
                "subjects": ["subj01", "subj02"],
                "rois": rois,
                "simulate": {
                    "n_images": 640,
                    "n_shared": 240,
                    "n_test_images": 1,
                    "image_size": 48,
                    "n_classes": 10,
                    "vertices": {roi: 80 if roi == "V1v" else 60 for roi in rois},
                },
            }
        },
        "split": {"tune": 0.5, "validation": 0.1, "test": 0.4},
        "backbone": {
            "name": "alexnet_small",
            "weights": "pretrain",
            "input_size": 48,
            "layers": ["features.2", "features.7", "features.12"],
            "pretrain": {"n_images": 2000, "n_classes": 10, "epochs": 4},
        },
        "tuning": {"methods": methods, "precision": "float32"},
        "contrastive": {"batch_size": 32, "epochs": 5, "learning_rate": 1.0e-3},
        "contrastive_plus": plus,
        "joint": plus | joint,
        "features": {"batch_size": 64, "images": "test"},
        "encoding": {"folds": 3, "protocols": ["heldout_cv"]},
    }


def measure(
    seed: int, methods: list[str], rois: list[str], joint: dict[str, object]
) -> pd.DataFrame:
    """Run what a comparison of encoding needs; return a row per unit and method."""
    from in_process import run_job

    from cortune.config import Config
    from cortune.encoding import read_encoding, summary
    from cortune.project import Project
    from cortune.stages import STAGES

    found = Project(Config.from_mapping(config(seed, methods, rois, joint)))
    log = Path("seconds.json")
    took = json.loads(log.read_text()) if log.exists() else {}
    needed = ("simulate_dataset", "prepare_images", "prepare_responses", "split_images",
              "pretrain_backbone", *TUNES, "extract_features",
              "decompose_features", "encode_roi")  # fmt: skip
    seconds: dict[tuple[str, str], float] = {}
    sizes: dict[str, int] = {}
    for name, addresses in found.jobs.items():
        for address in addresses if name in needed else ():
            path = found.path(name, next(iter(STAGES[name].outputs)), address)
            if path not in took:
                start = time.process_time()
                run_job(found, name, address)
                took[path] = time.process_time() - start
                log.write_text(json.dumps(took))
            key = (address.method, "tune" if name in TUNES else name)
            seconds[key] = seconds.get(key, 0) + took[path]
            if name in TUNES:
                size = Path(found.path(name, "network", address)).stat().st_size
                sizes[address.method] = sizes.get(address.method, 0) + size
    rows = []
    for address in found.addresses(methods):
        encoding = read_encoding(found.path("encode_roi", "encoding", address))["heldout_cv"]
        method = address.method
        rows.append(
            {
                "seed": seed,
                "method": method,
                "subject": address.subject,
                "hemisphere": address.hemisphere,
                "roi": address.roi,
                "r": summary(encoding, 0.0)["r_mean"],
                "networks": len(found.networks([method])),
                "tuning_s": seconds.get((method, "tune"), 0.0),
                "features_s": seconds[method, "extract_features"],
                "disk_mb": sizes.get(method, 0) / 1e6,
            }
        )
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame, against: str = "contrastive_plus") -> str:
    """Return means over seeds, and the difference from one network per ROI with its interval."""
    from scipy import stats

    by_seed = rows.pivot_table(index="seed", columns="method", values="r")
    lines = [f"| method | networks | r | less `{against}` | tuning, s | features, s | disk, MB |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for method in dict.fromkeys(rows["method"]):
        here = rows[rows["method"] == method]
        difference = (by_seed[method] - by_seed[against]).dropna()
        n = len(difference)
        half = stats.t.ppf(0.975, n - 1) * difference.std() / n**0.5 if n > 1 else float("nan")
        low, high = difference.mean() - half, difference.mean() + half
        gain = "" if method == against else f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        once = here.drop_duplicates("seed")[
            ["networks", "tuning_s", "features_s", "disk_mb"]
        ].mean()
        lines.append(
            f"| `{method}` | {once['networks']:.0f} | {by_seed[method].mean():.3f} | {gain} | "
            f"{once['tuning_s']:.0f} | {once['features_s']:.0f} | {once['disk_mb']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure one seed, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rois", nargs="+", default=ROIS)
    parser.add_argument("--joint", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.seed is not None:
        joint = {key: float(v) if "." in v else int(v)
                 for key, _, v in (each.partition("=") for each in arguments.joint)}  # fmt: skip
        of_seed = folder / f"seed-{arguments.seed}"
        of_seed.mkdir(parents=True, exist_ok=True)
        os.chdir(of_seed)
        rows = measure(arguments.seed, arguments.methods, arguments.rois, joint)
        if arguments.joint:
            rows = rows[rows["method"].str.startswith("joint")]
            rows["method"] += f" {' '.join(arguments.joint)}"
        rows.to_csv(folder / f"{arguments.seed} {' '.join(arguments.joint)}.csv", index=False)
    print(table(pd.concat(map(pd.read_csv, sorted(folder.glob("*.csv"))))))


if __name__ == "__main__":
    main()
