"""Draw accuracy by number of images (rule plot_size_curve)."""

from cortune.jobs import Job, run
from cortune.report.curves import plot_size_curve


def main(job: Job) -> None:
    """Write the figure."""
    plot_size_curve(job.input.table, job.output.figure, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
