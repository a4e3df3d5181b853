"""A small numerical summary of every stage's output on the tiny run, and its pins.

    python tests/workflow/golden.py [FOLDER]

runs it, or takes the finished run in FOLDER, and pins what it made. Stages whose version is
pinned already must have given what is pinned: whose output changed, its number is raised first.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tiny import TINY

from cortune.address import Address
from cortune.config import Config
from cortune.project import Project
from cortune.seals import sealed_files
from cortune.stages import STAGES
from cortune.tuning.methods import UNTUNED

PINS = Path(__file__).with_name("golden.json")
NOT_COVERED = {"pretrain_backbone", "prepare_whole", "decompose_features", "relate_repeats"}
"""Stages without a job in the tiny run: its network has random weights, its ROIs are named, and
no layout of it keeps repeats. And eigenvectors, whose signs are free: what ``encode_roi`` makes of
them is pinned."""

EXACT = 1e-5
"""Tolerance of what is drawn, decoded, split or averaged, as a share of the root mean square."""
PREPARED = (
    "simulate_dataset",
    "prepare_images",
    "prepare_responses",
    "split_images",
    "prepare_backbone",
    "prepare_probe",
)
FITTED = 1e-3
"""Of what is fitted on features of the untuned network."""
TUNED = {"tune_network": 0.02, "tune_pooled": 0.02, "extract_features": 0.02}
TRAINED = 0.1
"""Of what rests on tuned networks: machines round differently, and an optimizer makes it grow."""
COARSE = (
    "bound_information",
    "embed_networks",
    "map_saliency",
    "probe_network",
    "tabulate_lateralization",
    "tabulate_probes",
)
"""Stages of tuned networks in which it grows further, or whose scores are counts of few images."""
CHOSEN = 0.5
"""Of penalties, chosen from a grid in decades, where one voxel's next best shows; of `COARSE`."""
DRAWN = 0.15
"""Of how much ink there is in a figure, by colour."""

_PICKED = ("layer", "kind")
"""Columns of words in which rounding may show: the best layer, the sign of an eigenvalue."""

Summary = dict[str, list[float]]


def pins_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the summary of every stage of a finished tiny run, each with its versions."""
    with chdir(folder):
        project = Project(Config.from_mapping(TINY))
        found = {}
        for stage, addresses in project.jobs.items():
            if stage in NOT_COVERED:
                continue
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
            name = re.sub(r"\d+", "#", path.name)
            for method, inside, values in _contents(path):
                parts = (method or address.method, name, inside)
                gathered[" ".join(filter(None, parts))].append(np.ravel(values))
    return {name: _summary(np.concatenate(gathered[name])) for name in sorted(gathered)}


def _summary(values: np.ndarray) -> list[float]:
    if values.dtype.kind not in "biuf":
        return [values.size, int(_digest(*map(str, values)), 16)]
    finite = np.isfinite(values)
    x = np.where(finite, values, 0).astype(np.float64)
    n = max(1, int(finite.sum()))
    ordered = x @ np.cos(np.arange(x.size))
    figures = (x.sum() / n, np.sqrt(x @ x / n), ordered / n)
    return [int(finite.sum()), *(float(f"{value:.6g}") for value in figures)]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _contents(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the arrays, columns or pictures of a file, each with method, if any, and name."""
    if path.suffix in (".csv", ".tsv", ".parquet"):
        yield from _of_table(path)
    else:
        yield from (("", name, values) for name, values in _arrays(path))


def _arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if path.suffix == ".h5":
        yield from _of_hdf5(path)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        for key, values in sorted(load_file(path).items()):
            yield key.split(".")[0], values
    elif path.suffix == ".npy" and not path.name.startswith("mapping_"):
        yield "", np.load(path)
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


def _of_table(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    methods = table["method"] if "method" in table else pd.Series("", index=table.index)
    for method, rows in table.groupby(methods.astype(object).fillna("")):
        numbers = rows.select_dtypes(["number", "bool"])
        words = rows.drop(
            columns=[*numbers.columns, *(() if method == UNTUNED else _PICKED)], errors="ignore"
        )
        for name in numbers:
            yield str(method), str(name), numbers[name].to_numpy()
        if not words.empty:
            yield str(method), "words", words.astype(str).to_numpy()


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
        "`python tests/workflow/golden.py`"
        for stage in changed
        if not upstream(stage) & set(changed)
    ]
    if unpinned and not said:
        said.append(
            f"no pins of the versions of {', '.join(unpinned)}: their number, configuration or "
            "input is another. Regenerate with `python tests/workflow/golden.py`"
        )
    return said


def differences(stage: str, found: Summary, pinned: Summary) -> list[str]:
    """Return what of a stage's summary is not what is pinned, within its tolerance."""
    said = [f"{name} is {'gone' if name in pinned else 'new'}" for name in {*found} ^ {*pinned}]
    said += [
        f"{name}: found {found[name]}, expected {pinned[name]}"
        for name in found.keys() & pinned.keys()
        if not _close(found[name], pinned[name], tolerance_of(stage, name))
    ]
    return sorted(said)


def tolerance_of(stage: str, name: str) -> float:
    """Return how far a stage's figure may be from its pin."""
    if stage in PREPARED:
        return EXACT
    if name.endswith(" ink"):
        return DRAWN
    if name.startswith(UNTUNED) and "alpha" not in name and stage != "embed_networks":
        return FITTED
    return CHOSEN if "alpha" in name or stage in COARSE else TUNED.get(stage, TRAINED)


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


def run_in(folder: str) -> None:
    """Run the tiny configuration in a folder."""
    config = Path(folder, "config.yaml")
    config.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    snakefile = Path(__file__).resolve().parents[2] / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(snakefile)]
    subprocess.run([*command, "--directory", folder, "--configfile", str(config)], check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not sys.argv[1:]:
            run_in(folder)
        found = pins_of(Path(*(sys.argv[1:] or [folder])))
    pins = json.loads(PINS.read_text(encoding="utf-8")) if PINS.is_file() else {}
    if wrong := [each for each in problems(found, pins) if each.startswith("stage ")]:
        sys.exit("\n".join(wrong))
    text = json.dumps(found, indent=1, sort_keys=True)
    # A list of numbers stands in one line.
    text = re.sub(r"\[[^\]]*\]", lambda found: " ".join(found[0].split()), text)
    PINS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
