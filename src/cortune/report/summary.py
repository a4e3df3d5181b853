"""The headline of a finished run, as text."""

from __future__ import annotations

from pathlib import Path

from cortune.artifacts import read_json
from cortune.data.rois import roi_group
from cortune.errors import InputError


def headline(latest: Path) -> str:
    """Return the mean accuracy by group and method, and where to look.

    Parameters
    ----------
    latest : Path
        Folder of the last complete run.

    Raises
    ------
    InputError
        If no run has completed.
    """
    import pandas as pd

    if not (latest / "manifest.json").is_file():
        raise InputError(
            latest, "no complete run", "tables and a manifest", "Run `snakemake --cores all` first."
        )
    manifest = read_json(latest / "manifest.json")
    units = pd.read_csv(latest / "tables" / "encoding.csv")
    protocol = units["protocol"].iloc[0]
    units = units[units["protocol"] == protocol]
    units = units.assign(group=units["roi"].map(roi_group))
    wide = units.pivot_table(
        index=["group", "subject"], columns="method", values="r_mean", sort=False
    )
    wide["noise ceiling"] = units.groupby(["group", "subject"], sort=False)["ceiling_r_mean"].mean()
    lines = [
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
