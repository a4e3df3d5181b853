"""``results/latest``: the tables and figures of the last complete run, a page and a manifest."""

from __future__ import annotations

import contextlib
import csv
import filecmp
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import cortune
from cortune.artifacts import atomic, sha256, write_json
from cortune.report.page import Headings, write_page

LIBRARIES = (
    "captum",
    "h5py",
    "himalaya",
    "matplotlib",
    "nibabel",
    "nilearn",
    "numpy",
    "pandas",
    "plotly",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "snakemake",
    "torch",
    "torchvision",
    "umap-learn",
)


class Published(Protocol):
    """Paths that the last stage writes."""

    manifest: str
    page: str


def publish_results(
    headings: Headings,
    outputs: Published,
    *,
    config: Mapping[str, Any],
    versions: Mapping[str, Sequence[str]],
    results: str,
) -> None:
    """Write the page and the manifest of a run.

    Parameters
    ----------
    headings : mapping of str to sequence of (path, str)
        Tables and figures, as :func:`cortune.report.page.write_page` takes them.
    outputs : Published
    config : mapping
        The configuration, defaults included.
    versions : mapping
        Versions of every stage.
    results : path
        Folder of the results, whose benchmarks say how long the rules took.
    """
    shown = [str(path) for each in headings.values() for path, _ in each]
    content = {
        "cortune": cortune.__version__,
        "libraries": {name: _version_of(name) for name in LIBRARIES},
        "config": config,
        "versions": {
            stage: names[0] if len(names) == 1 else names for stage, names in versions.items()
        },
        "tables": {Path(path).name: sha256(path) for path in _tables(shown)},
        "rules": _seconds(Path(results) / "benchmarks", versions),
    }
    write_page(outputs.page, headings, content)
    write_json(outputs.manifest, content)


def place_latest(results: str, manifest: str, page: str, shown: Sequence[str]) -> bool:
    """Copy a whole run to ``results/latest``, where it is not there already.

    What another run left there is removed; the manifest comes last, so its presence means a
    complete run. It keeps the time at which the run ended.

    Parameters
    ----------
    results : path
    manifest, page : path
        Of :func:`publish_results`.
    shown : sequence of path
        Tables and figures.

    Returns
    -------
    bool
        Whether it was not there yet.
    """
    latest = Path(results, "latest")
    tables = _tables(shown)
    folders = {"tables": tables, "figures": [path for path in shown if path not in tables]}
    wanted = {
        latest / folder / file.name: file
        for folder, files in folders.items()
        for file in _with_sidecars(files)
    }
    single = {latest / Path(path).name: Path(path) for path in (page, manifest)}
    there = {path for folder in folders for path in (latest / folder).glob("*")}
    if there == set(wanted) and all(map(_same, {**wanted, **single}.items())):
        return False
    (latest / Path(manifest).name).unlink(missing_ok=True)
    for folder in folders:
        with atomic(latest / folder) as temporary:
            temporary.mkdir()
            for path, file in wanted.items():
                if path.parent.name == folder:
                    shutil.copyfile(file, temporary / path.name)
    for path, file in single.items():
        with atomic(path) as temporary:
            shutil.copyfile(file, temporary)
            ended = file.stat().st_mtime_ns
            with contextlib.suppress(OSError):  # a file system that sets no times
                os.utime(temporary, ns=(ended, ended))
    return True


def _same(pair: tuple[Path, Path]) -> bool:
    path, file = pair
    return path.is_file() and filecmp.cmp(path, file, shallow=False)


def _tables(shown: Iterable[str]) -> list[str]:
    return [path for path in shown if path.endswith((".csv", ".parquet"))]


def _with_sidecars(files: Iterable[str]) -> list[Path]:
    paths = [Path(file) for file in files]
    beside = [Path(f"{path}.json") for path in paths]
    return paths + [path for path in beside if path.is_file()]


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _seconds(folder: Path, versions: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Sum the wall time of the jobs of each rule that made some versions."""
    used = {name for names in versions.values() for name in names}
    found: dict[str, list[float]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rule, *inside = path.relative_to(folder).parts
        if used & {part.removesuffix(".tsv") for part in inside}:
            with path.open(encoding="utf-8") as handle:
                rows = csv.DictReader(handle, delimiter="\t")
                found.setdefault(rule, []).extend(float(row["s"]) for row in rows)
    return {
        rule: {"jobs": len(times), "seconds": round(sum(times), 2)} for rule, times in found.items()
    }
