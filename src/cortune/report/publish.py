"""``results/latest``: the tables and figures of the last complete run, a page and a manifest."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cortune
from cortune.artifacts import atomic, sha256, write_json
from cortune.report.page import write_page

LIBRARIES = (
    "captum",
    "h5py",
    "himalaya",
    "matplotlib",
    "nibabel",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
    "torchvision",
    "umap-learn",
)


def publish_results(
    tables: Sequence[str],
    figures: Sequence[str],
    manifest: str | Path,
    *,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    benchmarks: Mapping[str, Sequence[str]],
) -> None:
    """Copy tables and figures to the folder of `manifest`, then write the page and the manifest.

    What an earlier run left there and this one does not make is removed; the manifest comes
    last, so its presence means a complete run.

    Parameters
    ----------
    tables, figures : sequence of path
    manifest : path
    config : mapping
        The whole configuration, defaults included.
    versions : mapping
        Version of every stage.
    benchmarks : mapping
        Snakemake's benchmark files by rule.
    """
    latest = Path(manifest).parent
    Path(manifest).unlink(missing_ok=True)
    for name, files in (("tables", tables), ("figures", figures)):
        with atomic(latest / name) as folder:
            folder.mkdir()
            for file in _with_sidecars(files):
                shutil.copyfile(file, folder / file.name)
    content = {
        "cortune": cortune.__version__,
        "libraries": {name: _version_of(name) for name in LIBRARIES},
        "config": config,
        "versions": versions,
        "tables": {Path(t).name: sha256(latest / "tables" / Path(t).name) for t in tables},
        "rules": {rule: _seconds(files) for rule, files in sorted(benchmarks.items())},
    }
    write_page(latest, content)
    write_json(manifest, content)


def _with_sidecars(files: Iterable[str]) -> list[Path]:
    paths = [Path(file) for file in files]
    beside = [Path(f"{path}.json") for path in paths]
    return paths + [path for path in beside if path.is_file()]


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _seconds(files: Sequence[str]) -> dict[str, float]:
    """Sum the wall time of a rule's jobs."""
    times = []
    for file in files:
        if Path(file).is_file():
            with Path(file).open(encoding="utf-8") as handle:
                times += [float(row["s"]) for row in csv.DictReader(handle, delimiter="\t")]
    return {"jobs": len(times), "seconds": round(sum(times), 2)}
