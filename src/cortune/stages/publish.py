"""The last stage: tables, figures, a report and a manifest of a whole run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.stages.declare import SECTIONS, Output, declared, stage

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def _versions(project: Project, address: Address) -> Any:
    """Return the versions of all that the run is made of."""
    return project.upstream_versions


def headings(paths: Iterable[str | Path]) -> dict[str, list[tuple[str | Path, str]]]:
    """Return tables and figures by the headings that stages declare, with their captions."""
    outputs = {out.path: out for each in declared().values() for out in each.shown}
    found: dict[str, list[tuple[str | Path, str]]] = {title: [] for title in SECTIONS}
    there = {Path(path).name: path for path in paths}
    for name, output in outputs.items():
        if name in there:
            found.setdefault(output.section, []).append((there[name], output.caption))
    return found


@stage(
    number=6,
    reads=("*",),
    facts=_versions,
    gathers=True,
    outputs={
        "manifest": Output("manifest.json", "what the run was made of."),
        "page": Output("report.html", "its tables and figures on one page."),
    },
)
def publish_results(job: Job) -> None:
    """Write the report and the manifest of a run, and put it in place as the latest."""
    from cortune.report.publish import place_latest, publish_results

    shown = job.inputs("shown")
    publish_results(
        headings(shown),
        job.output,
        config=job.configuration,
        versions=job.facts,
        results=job.results,
    )
    place_latest(job.home, job.output.manifest, job.output.page, shown)
