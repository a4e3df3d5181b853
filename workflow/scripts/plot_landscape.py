"""Draw the landscape of networks (rule plot_landscape)."""

from cortune.jobs import Job, run
from cortune.report.landscape_figures import plot_landscape


def main(job: Job) -> None:
    """Draw inPCA, the other spaces, and the distances clustered."""
    plot_landscape(job.input.landscape, job.input.dissimilarity, job.output, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
