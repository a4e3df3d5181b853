"""Gather the size curves of all units (rule tabulate_size_curve)."""

from cortune.jobs import Job, run
from cortune.report.curves import tabulate_size_curve


def main(job: Job) -> None:
    """Write the table of size curves."""
    tabulate_size_curve(job.project.targets("size_curve"), job.output.table, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
