"""Gather the encoding scores of all units (rule tabulate_encoding)."""

from cortune.jobs import Job, run
from cortune.report.tables import tabulate_encoding


def main(job: Job) -> None:
    """Write the encoding tables."""
    tabulate_encoding(
        job.project.targets("encoding"),
        job.project.skipped,
        job.output,
        job.provenance(),
        min_noise_ceiling=job.config.encoding.min_noise_ceiling,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
