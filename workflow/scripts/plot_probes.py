"""Draw what the probes classify (rule plot_probes)."""

from cortune.jobs import Job, run
from cortune.report.probe_figures import plot_probes


def main(job: Job) -> None:
    """Draw the accuracy of the probes by ROI and method."""
    plot_probes(job.input.table, job.output.figure, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
