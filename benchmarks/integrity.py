"""What seals and fingerprints cost, as a share of the time of all jobs.

A job hashes what it made, once; the first job to read it hashes it once more, and each later
one reads the seal and looks at sizes and times. Jobs that read raw files fingerprint them.
Of a finished run the parts are timed on its own files, against the time that its jobs took;
for the paper's configuration they follow from the plan's bytes and readers, against its hours.

    python benchmarks/integrity.py [FOLDER]

FOLDER is where a finished run has its ``results``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections import Counter
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import yaml
from dag import SUBJECTS, write_tree
from timing import HERE, once

from cortune.address import Address
from cortune.artifacts import sha256
from cortune.config import Config
from cortune.fingerprints import BLOCK, BLOCKS, WHOLE, read_now
from cortune.plan import Rates, estimate, shape_of
from cortune.project import Project
from cortune.seals import seal, sealed_files, verify
from cortune.settings import settings_of
from cortune.stages import STAGES

# Training images of the challenge's subjects, and bytes of one (425 × 425 pixels).
_SIMULATING = ("simulate_nsd", "simulate_nod", "simulate_shared")  # rules of one stage
N_IMAGES = (9841, 9841, 9082, 8779, 9841, 9082, 9841, 8779)
PICTURE = 300_000
OPENED = 2  # times that a raw file's size and time are looked at by a job, beside reading it


@dataclass
class Cost:
    """Seconds of integrity and of work, and bytes hashed, of a run or a part of it."""

    sealing: float = 0.0
    first: float = 0.0
    later: float = 0.0
    raw: float = 0.0
    work: float = 0.0
    hashed: float = 0.0
    at_each_reading: float = 0.0

    @property
    def seconds(self) -> float:
        return self.sealing + self.first + self.later + self.raw


def readers_of(project: Project) -> Counter[str]:
    """Return how many jobs read each file."""
    return Counter(
        path
        for name, addresses in project.jobs.items()
        for address in addresses
        for path in {path for paths in project.inputs(name, address).values() for path in paths}
    )


def of_finished(folder: Path) -> dict[str, Cost]:
    """Time the integrity of a finished run on its own files, by stage that made them."""
    with chdir(folder):
        manifest = json.loads(Path("results/latest/manifest.json").read_text(encoding="utf-8"))
        project = Project(Config.from_mapping(manifest["config"]))
        readers, found = readers_of(project), {}
        for name, addresses in project.jobs.items():
            stage, cost = STAGES[name], Cost(work=_worked(project, name))
            for address in addresses:
                for output in stage.outputs:
                    path = project.path(name, output, address)
                    files = sealed_files(path)
                    size = sum(file.stat().st_size for file in files)
                    hashing = once(lambda files=files: [sha256(file) for file in files]).median
                    verify(path)
                    looking = once(lambda path=path: verify(path)).median
                    read = readers[path]
                    cost.sealing += hashing
                    cost.first += hashing * min(read, 1)
                    cost.later += looking * max(read - 1, 0)
                    cost.hashed += size * (1 + min(read, 1))
                    cost.at_each_reading += size * (1 + read)
                if stage.sources is not None:
                    sources = stage.sources(settings_of(project.config, stage, address), address)
                    cost.raw += once(lambda sources=sources: read_now(sources)).median
            found[name] = cost
    return found


def _worked(project: Project, name: str) -> float:
    """Return the seconds that the jobs of a stage took."""
    versions = {project.version(name, address) for address in project.jobs[name]}
    seconds = 0.0
    rules = [name, *_SIMULATING] if name == "simulate_dataset" else [name]
    for rule in rules:
        for path in Path(project.results, "benchmarks", rule).rglob("*.tsv"):
            if versions & {part.removesuffix(".tsv") for part in path.parts}:
                with path.open(encoding="utf-8") as handle:
                    seconds += sum(
                        float(row["s"]) for row in csv.DictReader(handle, delimiter="\t")
                    )
    return seconds


def rates(folder: Path) -> tuple[float, float]:
    """Return bytes hashed a second, and seconds of looking at an artifact that is known."""
    large, size = folder / "large", 256 << 20
    large.write_bytes(os.urandom(1 << 20) * (size >> 20))
    hashing = min(once(lambda: sha256(large)).median for _ in range(3))
    seal(large)
    n = 200
    looking = once(lambda: [verify(large) for _ in range(n)]).median / n
    return size / hashing, looking


def of_paper(*, gpu: bool) -> dict[str, Cost]:
    """Compute the integrity of config/nsd.yaml from its plan, by stage that made the files."""
    text = (HERE.parent / "config" / "nsd.yaml").read_text(encoding="utf-8")
    mapping = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as name, chdir(name):
        rate, looking = rates(Path(name))
        mapping["datasets"]["nsd"]["root"] = str(Path(name, "data"))
        write_tree(Path(name, "data"), picture_bytes=200)
        project = Project(Config.from_mapping(mapping))
        for subject, n in zip(SUBJECTS, N_IMAGES, strict=True):
            project.seen[f"images nsd {subject}"] = n
        readers, found = readers_of(project), {}
        for plan in estimate(project, shape_of(project.config)):
            stage, cost = STAGES[plan.stage], Cost(work=3600 * plan.hours(Rates(), gpu=gpu))
            for address, work in zip(project.jobs[plan.stage], plan.work, strict=True):
                # The first output holds nearly all that a job writes.
                for index, output in enumerate(stage.outputs):
                    size = 0.0 if index else work.disk
                    read = readers[project.path(plan.stage, output, address)]
                    cost.sealing += size / rate + looking
                    cost.first += (size / rate + looking) * min(read, 1)
                    cost.later += looking * max(read - 1, 0)
                    cost.hashed += size * (1 + min(read, 1))
                    cost.at_each_reading += size * (1 + read)
                cost.raw += _raw(project, plan.stage, address) / rate
            found[plan.stage] = cost
    return found


def _raw(project: Project, name: str, address: Address) -> float:
    """Return the bytes of raw files that a job of the paper fingerprints."""
    if name == "prepare_images":
        n = N_IMAGES[SUBJECTS.index(address.subject)]
        return float(n * PICTURE)
    return float(BLOCKS * BLOCK + WHOLE) if name == "prepare_responses" else 0.0


def table(costs: dict[str, Cost], title: str) -> tuple[list[str], Cost]:
    """Return a run as text, and the sum of its stages."""
    total = Cost(
        *(
            sum(values)
            for values in zip(*(vars(cost).values() for cost in costs.values()), strict=True)
        )
    )
    names = ("stage", "sealing", "first", "later", "raw", "jobs", "share", "hashed", "or")
    lines = [title, "".join(f"{name:>{22 if i == 0 else 11}}" for i, name in enumerate(names))]
    shown = sorted(costs.items(), key=lambda item: -item[1].seconds)[:8]
    for name, cost in [*shown, ("all stages", total)]:
        seconds = (cost.sealing, cost.first, cost.later, cost.raw, cost.work)
        share = f"{100 * cost.seconds / cost.work:.2f} %" if cost.work else "-"
        gigabytes = (cost.hashed / 1e9, cost.at_each_reading / 1e9)
        lines.append(
            f"{name:>22}"
            + "".join(f"{value:9.2f} s" for value in seconds)
            + f"{share:>11}"
            + "".join(f"{value:8.3g} GB" for value in gigabytes)
        )
    return lines, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of a finished run")
    options = parser.parse_args()
    runs = {
        "integrity of the paper's run (config/nsd.yaml, with a GPU), computed": of_paper(gpu=True)
    }
    if options.folder:
        runs[f"integrity of the finished run in {options.folder.name}"] = of_finished(
            options.folder.resolve()
        )
    rows = []
    for what, costs in runs.items():
        lines, total = table(costs, what)
        print("\n".join(lines), end="\n\n")
        rows.append({"what": what, "seconds": total.seconds, "share": total.seconds / total.work})
    print("`or`: what hashing at every reading would read.")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
