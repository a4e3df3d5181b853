"""Bring the last complete run to results/latest (rule publish_results)."""

from cortune.jobs import Job, run
from cortune.report.publish import publish_results


def main(job: Job) -> None:
    """Copy tables and figures, and write the report and the manifest."""
    publish_results(
        job.input.tables,
        job.input.figures,
        job.output.manifest,
        config=job.config.as_dict(),
        versions=job.project.current_versions(),
        benchmarks=job.project.benchmarks(),
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
