"""Draw the published accuracies beside this run (rule plot_published)."""

from cortune.jobs import Job, run
from cortune.report.published import plot_published


def main(job: Job) -> None:
    """Write the figure."""
    project = job.project
    plot_published(
        job.input.table,
        job.input.encoding,
        job.output.figure,
        job.provenance(),
        simulated=project.versions.is_simulated(project.dataset),
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
