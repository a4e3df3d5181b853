"""Draw what transfer scores (rule plot_transfer)."""

from cortune.jobs import Job, run
from cortune.report.transfer_figures import plot_transfer


def main(job: Job) -> None:
    """Draw the matrix of subjects and the scores on other data sets."""
    plot_transfer(
        job.input.subjects,
        job.input.datasets,
        job.input.voxels,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
