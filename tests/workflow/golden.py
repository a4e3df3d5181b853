"""A small numerical summary of every stage's output on the tiny run, and its pins.

    python tests/workflow/golden.py FOLDER

pins what the tiny run in FOLDER made (the one that holds ``results``). Stages whose version is
pinned already must have given what is pinned: whose output changed, its number is raised first.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from tiny import TINY

from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.seals import sealed_files
from cortune.stages import STAGES

PINS = Path(__file__).with_name("golden.json")
NOT_COVERED = {"pretrain_backbone"}
"""Stages without a job in the tiny run, whose network has random weights."""

EXACT = 1e-5
TOLERANCE = {
    "simulate_dataset": EXACT,
    "prepare_images": EXACT,
    "prepare_responses": EXACT,
    "split_images": EXACT,
    "prepare_backbone": EXACT,
    "prepare_probe": EXACT,
}
"""Of what is drawn, decoded, split or averaged."""
TRAINED = 2e-2
"""Of what is trained, fitted, or rests on it: machines round differently, and it grows."""
DRAWN = 5e-2
"""Of how much ink there is in a figure, by colour."""

Summary = dict[str, list[float]]


def pins_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the summary of every stage of a finished tiny run, each with its versions."""
    with chdir(folder):
        project = Project(Config.from_mapping(TINY))
        found = {}
        for stage, addresses in project.jobs.items():
            versions = sorted({project.version(stage, address) for address in addresses})
            found[stage] = {
                "version": versions[0] if len(versions) == 1 else _digest(*versions),
                "summary": summary_of(project, stage, addresses),
            }
    return found


def summary_of(project: Project, stage: str, addresses: list[Address]) -> Summary:
    """Return a few numbers of every array, column and picture that a stage made.

    Those of equal names, over files and addresses of a method, are taken together: how many
    numbers, the mean, the root mean square, and a mean that depends on their order. Of words, a
    hash.
    """
    gathered: dict[str, list[np.ndarray]] = defaultdict(list)
    for address in addresses:
        paths = [project.path(stage, output, address) for output in STAGES[stage].outputs]
        for path in dict.fromkeys(file for each in paths for file in sealed_files(each)):
            name = " ".join(filter(None, (address.method, re.sub(r"\d+", "#", path.name))))
            for inside, values in _contents(path):
                gathered[f"{name} {inside}".strip()].append(np.ravel(values))
    return {name: _summary(np.concatenate(gathered[name])) for name in sorted(gathered)}


def _summary(values: np.ndarray) -> list[float]:
    if values.dtype.kind not in "biuf":
        return [values.size, int(_digest(*map(str, values)), 16)]
    finite = np.isfinite(values)
    x = np.where(finite, values, 0).astype(np.float64)
    n = max(1, int(finite.sum()))
    ordered = x @ np.cos(np.arange(x.size))
    figures = (x.sum() / n, np.sqrt(x @ x / n), ordered / n)
    return [int(finite.sum()), *(float(f"{value:.7g}") for value in figures)]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _contents(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays, columns or pictures of a file, by name."""
    if path.suffix == ".h5":
        yield from _of_hdf5(path)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        for key, values in sorted(load_file(path).items()):
            yield key.split(".")[0], values
    elif path.suffix == ".npy" and not path.name.startswith("mapping_"):
        yield "", np.load(path)
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        yield from _of_table(path)
    elif path.suffix == ".png":
        from PIL import Image

        pixels = 255 - np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
        yield "ink", pixels.mean(axis=(0, 1))
    elif path.suffix == ".nii":
        import nibabel

        yield "", np.asarray(nibabel.load(path).dataobj)
    elif path.name == "manifest.json":
        yield "keys", np.array(sorted(json.loads(path.read_text(encoding="utf-8"))))
    elif path.suffix == ".html":
        yield "headings", np.array(re.findall(r"<h\d.*?>(.*?)</h\d>", path.read_text("utf-8")))


def _of_hdf5(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    import h5py

    found: list[tuple[str, np.ndarray]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype)
            found.append((name, np.atleast_1d(item.asstr()[()] if text else item[()])))

    with h5py.File(path) as file:
        file.visititems(visit)
    yield from found


def _of_table(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    for name in table:
        values = table[name]
        yield str(name), values.astype(str).to_numpy() if values.dtype == object else values


def problems(found: dict[str, dict[str, Any]], pins: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong with the output of stages; first causes only, not what follows."""
    unpinned = [
        stage
        for stage, each in found.items()
        if each["version"] != pins.get(stage, {}).get("version")
    ]
    changed = {
        stage: different
        for stage, each in found.items()
        if stage not in unpinned
        if (different := differences(stage, each["summary"], pins[stage]["summary"]))
    }
    said = [
        f"stage {stage}: {changed[stage][0]}; {len(changed[stage])} such. Its output changed: "
        f"raise `number` of stage {stage} in src/{_module(stage)} and regenerate with "
        "`python tests/workflow/golden.py FOLDER`"
        for stage in changed
        if not upstream(stage) & set(changed)
    ]
    if unpinned and not said:
        said.append(
            f"no pins of the versions of {', '.join(unpinned)}: their number, configuration or "
            "input is another. Regenerate with `python tests/workflow/golden.py FOLDER`"
        )
    return said


def differences(stage: str, found: Summary, pinned: Summary) -> list[str]:
    """Return what of a stage's summary is not what is pinned, within its tolerance."""
    said = [f"{name} is {'gone' if name in pinned else 'new'}" for name in {*found} ^ {*pinned}]
    for name in found.keys() & pinned.keys():
        tolerance = DRAWN if name.endswith("ink") else TOLERANCE.get(stage, TRAINED)
        if not _close(found[name], pinned[name], tolerance):
            said.append(f"{name}: found {found[name]}, expected {pinned[name]}")
    return sorted(said)


def _close(found: list[float], pinned: list[float], tolerance: float) -> bool:
    if len(found) != len(pinned) or found[0] != pinned[0]:
        return False
    if len(pinned) == 2:
        return found[1] == pinned[1]
    scale = pinned[2]  # the root mean square; a mean may be nothing but rounding
    return all(abs(a - b) <= tolerance * scale for a, b in zip(found[1:], pinned[1:], strict=True))


def upstream(stage: str) -> set[str]:
    """Return every stage that a stage's output rests on."""
    consumed = set(STAGES[stage].consumes)
    if STAGES[stage].gathers:
        consumed = {name for name, each in STAGES.items() if each.shown}
    return consumed.union(*map(upstream, consumed))


def _module(stage: str) -> str:
    return f"{STAGES[stage].run.__module__.replace('.', '/')}.py"


def main() -> None:
    found = pins_of(Path(sys.argv[1]))
    pins = json.loads(PINS.read_text(encoding="utf-8")) if PINS.is_file() else {}
    if wrong := [each for each in problems(found, pins) if each.startswith("stage ")]:
        sys.exit("\n".join(wrong))
    text = json.dumps(found, indent=1, sort_keys=True)
    # A list of numbers stands in one line.
    text = re.sub(r"\[[^\]]*\]", lambda found: " ".join(found[0].split()), text)
    PINS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
