"""The headline of a finished run, as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cortune.artifacts import read_json, sha256
from cortune.data.rois import roi_group
from cortune.errors import InputError
from cortune.seals import verify


def headline(latest: Path) -> str:
    """Return what was run on what and when, mean accuracy by group and method, where to look.

    Parameters
    ----------
    latest : Path
        Folder of the last complete run.

    Raises
    ------
    InputError
        If no run has completed, or its table was changed since.
    """
    import pandas as pd

    path = latest / "manifest.json"
    if not path.is_file():
        raise InputError(
            latest, "no complete run", "tables and a manifest", "Run `snakemake --cores all` first."
        )
    verify(path)
    manifest = read_json(path)
    table = latest / "tables" / "encoding.csv"
    expected = manifest["tables"][table.name]
    if (found := sha256(table)) != expected:
        raise InputError(
            table,
            f"SHA-256 {found}",
            f"{expected}, as in the manifest",
            f"It was changed since. Remove {path} and run the workflow again.",
        )
    units = pd.read_csv(table)
    protocol = units["protocol"].iloc[0]
    units = units[units["protocol"] == protocol]
    units = units.assign(group=units["roi"].map(roi_group))
    wide = units.pivot_table(
        index=["group", "subject"], columns="method", values="r_mean", sort=False
    )
    wide["noise ceiling"] = units.groupby(["group", "subject"], sort=False)["ceiling_r_mean"].mean()
    lines = [
        f"{_setting(manifest['config'])}, run of {_ended(path)}",
        "",
        f"Encoding accuracy (mean r over ROIs and hemispheres, protocol {protocol}):",
        "",
        wide.round(3).to_string(na_rep="-"),
        "",
        f"Jobs: {sum(rule['jobs'] for rule in manifest['rules'].values())}, "
        f"{sum(rule['seconds'] for rule in manifest['rules'].values()):.0f} s of work in all.",
        f"Tables:  {latest / 'tables'}",
        f"Figures: {latest / 'figures'}",
    ]
    report = latest / "report.html"
    if report.is_file():
        lines.append(f"Report:  {report}")
    return "\n".join(lines)


def _setting(config: Mapping[str, Any]) -> str:
    """Return the network and the data sets of a configuration, the one of tuning first."""
    backbone, own = config["backbone"], config["tuning"]["dataset"]
    weights = f" ({backbone['weights']})" if backbone.get("weights") else ""
    names = [own, *(name for name in config["datasets"] if name != own)]
    simulated = {name for name in names if config["datasets"][name]["simulate"]}
    shown = [f"{name} (simulated)" if name in simulated else name for name in names]
    return f"{backbone['name']}{weights}, {', '.join(shown)}"


def _ended(manifest: Path) -> str:
    """Return when a run ended: the time of its manifest, which says no time itself.

    Equal runs write equal bytes.
    """
    return f"{datetime.fromtimestamp(manifest.stat().st_mtime):%Y-%m-%d %H:%M}"
