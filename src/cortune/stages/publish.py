"""The last stage: tables, figures, a report and a manifest of a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortune.address import Address
from cortune.stages.declare import Output, stage

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def _versions(project: Project, address: Address) -> Any:
    """Return the versions of all that the run is made of."""
    return project.upstream_versions


@stage(
    number=1,
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
        shown, job.output, config=job.values, versions=job.facts, results=job.results
    )
    place_latest(job.results, job.output.manifest, job.output.page, shown)
