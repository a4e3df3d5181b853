"""Time and memory of planning the whole paper: dry runs of config/nsd.yaml.

A stand-in for the full Algonauts 2023 folder is written first: eight subjects, masks and
responses of the real sizes (the responses without data), and a picture of the right name for
each of the 75,086 of the real training parts, by default of two kilobytes. The first dry run
takes the fingerprints of all of them, the second finds them known.

    python benchmarks/dag.py
    python benchmarks/dag.py --write data/algonauts2023    # the stand-in alone, to plan with
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from timing import HERE

from cortune.simulate.layout import make_layout
from cortune.simulate.spec import SimulationSpec
from cortune.simulate.surface import N_FSAVERAGE

# Pictures of the training parts, by subject.
N_IMAGES = [9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779]


def write_tree(root: Path, picture_bytes: int, n_images: Sequence[int] = N_IMAGES) -> None:
    """Write the stand-in, of as many subjects as numbers of images are given."""
    rng = np.random.default_rng(0)
    layouts = {side: make_layout(SimulationSpec(), side) for side in ("lh", "rh")}
    for index, n in enumerate(n_images):
        subject = f"subj{index + 1:02d}"
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
            shape = (n, len(layout.vertices))
            np.lib.format.open_memmap(responses, "w+", np.float32, shape).flush()
        pictures = folder / "training_split/training_images"
        pictures.mkdir(parents=True)
        for number in range(n):
            name = f"train-{number + 1:04d}_nsd-{(7 * number + index) % 73_000:05d}.png"
            (pictures / name).write_bytes(rng.bytes(picture_bytes))


def plan(work: Path) -> tuple[str, float, float]:
    """Return what a dry run says, its seconds, and the largest memory of its process in GB."""
    command = [
        sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules",
        "--cores", "1", "--snakefile", str(HERE.parent / "Snakefile"),
        "--configfile", "config.yaml", "--directory", str(work),
    ]  # fmt: skip
    started = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the dry run failed:\n{said}")
    return said, time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


def measure(picture_bytes: int) -> list[dict]:
    """Time the first and a repeated dry run of the full configuration."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        config = yaml.safe_load((HERE.parent / "config/nsd.yaml").read_text(encoding="utf-8"))
        for dataset in config["datasets"].values():
            dataset["root"] = str(work / "data")
        write_tree(work / "data", picture_bytes)
        (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        rows = []
        for which in ("first", "repeated"):
            said, seconds, peak = plan(work)
            jobs = re.findall(r"^total\s+(\d+)", said, re.MULTILINE)
            rows.append(
                {
                    "what": f"{which} dry run of the full paper (config/nsd.yaml, 8 subjects, all "
                    f"ROIs; {sum(N_IMAGES)} pictures of {picture_bytes} bytes)",
                    "jobs": int(jobs[-1]) if jobs else None,
                    "seconds": seconds,
                    "peak_gb": peak,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture-bytes", type=int, default=2000)
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    if asked.write:
        write_tree(asked.write, asked.picture_bytes)
    else:
        print(json.dumps({"rows": measure(asked.picture_bytes)}))


if __name__ == "__main__":
    main()
