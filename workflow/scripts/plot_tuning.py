"""Draw the training curves (rule plot_tuning)."""

from cortune.jobs import Job, run
from cortune.report.tuning_figures import plot_tuning


def main(job: Job) -> None:
    """Write the training curves of all tuned networks."""
    plot_tuning(job.project.targets("history"), job.output.curves, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
