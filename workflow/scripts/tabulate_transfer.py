"""Gather what transfer scores (rule tabulate_transfer)."""

from cortune.jobs import Job, run
from cortune.report.transfer import tabulate_transfer


def main(job: Job) -> None:
    """Write the tables of transfer between subjects and to other data sets."""
    project = job.project
    tabulate_transfer(
        project.transfers(),
        project.targets("encoding"),
        project.dataset,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
