"""Draw the information bounds (rule plot_information)."""

from cortune.jobs import Job, run
from cortune.report.information import plot_information


def main(job: Job) -> None:
    """Write the figure."""
    plot_information(job.input.table, job.output.figure, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
