"""How planning grows: dry runs of config/whole.yaml with more subjects, replicates and images.

The stand-in of :mod:`dag`, of other sizes. Untuned and joint networks, all ROIs and `whole`.

    python benchmarks/scale.py [--subjects 2 4 8 16] [--images 9841] [--replicates 3]
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path

import yaml
from dag import plan, write_tree
from timing import HERE


def measure(n_subjects: int, n_images: int, replicates: int, methods: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        config = yaml.safe_load((HERE.parent / "config/whole.yaml").read_text(encoding="utf-8"))
        config["datasets"]["nsd"]["root"] = str(work / "data")
        config["tuning"] |= {"replicates": replicates, "methods": methods}
        write_tree(work / "data", 200, [n_images] * n_subjects)
        (work / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (_, first, _), (said, seconds, peak) = plan(work), plan(work)
        return {
            "what": f"{n_subjects} subjects of {n_images} images, {replicates} replicates, "
            + ", ".join(methods),
            "jobs": int(re.findall(r"^total\s+(\d+)", said, re.MULTILINE)[-1]),
            "first_s": first,
            "seconds": seconds,
            "peak_gb": peak,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--images", type=int, default=9841)
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["untuned", "joint"])
    asked = parser.parse_args()
    rows = [measure(each, asked.images, asked.replicates, asked.methods) for each in asked.subjects]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
