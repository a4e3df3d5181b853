"""Gather the information bounds of all units (rule tabulate_information)."""

from cortune.jobs import Job, run
from cortune.report.information import tabulate_information


def main(job: Job) -> None:
    """Write the table of bounds."""
    tabulate_information(job.project.targets("information"), job.output.table, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
