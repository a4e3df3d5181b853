"""Bound the information of all tuned networks (rule bound_information)."""

from cortune.jobs import Job, run
from cortune.report.information import tabulate_information


def main(job: Job) -> None:
    """Write the table of bounds on the test images."""
    tabulate_information(job.project.targets("embeddings"), job.output.table, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
