"""Set the published accuracies beside this run (rule tabulate_published)."""

from cortune.jobs import Job, run
from cortune.report.published import tabulate_published


def main(job: Job) -> None:
    """Write the comparison with the published table."""
    tabulate_published(job.input.encoding, job.output.table, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
