"""Time and memory of planning the whole paper: a dry run of config/nsd.yaml.

Eight subjects of the Algonauts 2023 layout are written first, with masks of the real sizes
and files of the right names that hold no data: planning reads masks and names only.

    python benchmarks/dag.py
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from timing import HERE

from cortune.simulate.layout import make_layout
from cortune.simulate.spec import SimulationSpec
from cortune.simulate.surface import N_FSAVERAGE

SUBJECTS = [f"subj{number:02d}" for number in range(1, 9)]
N_IMAGES = 50  # names alone; their number decides nothing in the plan


def write_tree(root: Path) -> None:
    layouts = {side: make_layout(SimulationSpec(), side) for side in ("lh", "rh")}
    for index, subject in enumerate(SUBJECTS):
        folder = root / subject
        masks = folder / "roi_masks"
        masks.mkdir(parents=True)
        for side, layout in layouts.items():
            everything = np.zeros(N_FSAVERAGE, np.int64)
            everything[layout.vertices] = 1
            np.save(masks / f"{side}.all-vertices_fsaverage_space.npy", everything)
            for family, labels in layout.labels.items():
                np.save(masks / f"{side}.{family}_challenge_space.npy", labels)
                names = np.array(layout.names[family], dtype=object)
                np.save(masks / f"mapping_{family}.npy", names, allow_pickle=True)
            responses = folder / "training_split/training_fmri" / f"{side}_training_fmri.npy"
            responses.parent.mkdir(parents=True, exist_ok=True)
            responses.touch()
        pictures = folder / "training_split/training_images"
        pictures.mkdir(parents=True)
        for number in range(1, N_IMAGES + 1):
            (pictures / f"train-{number:04d}_nsd-{index * N_IMAGES + number:05d}.png").touch()


def measure() -> dict:
    """Time a dry run of the full configuration, and the largest memory of its process."""
    checkout = HERE.parent
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        config = yaml.safe_load((checkout / "config/nsd.yaml").read_text(encoding="utf-8"))
        for dataset in config["datasets"].values():
            dataset["root"] = str(work / "data")
        write_tree(work / "data")
        (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [
            sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules",
            "--cores", "1", "--snakefile", str(checkout / "Snakefile"),
            "--configfile", "config.yaml", "--directory", str(work),
        ]  # fmt: skip
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"the dry run failed:\n{said}")
    jobs = re.findall(r"^total\s+(\d+)", said, re.MULTILINE)
    return {
        "what": "dry run of the full paper (config/nsd.yaml, 8 subjects, all ROIs)",
        "jobs": int(jobs[-1]) if jobs else None,
        "seconds": seconds,
        "peak_gb": usage.ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(json.dumps({"rows": [measure()]}))


if __name__ == "__main__":
    main()
