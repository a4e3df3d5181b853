"""Gather what the probes classify (rule tabulate_probes)."""

from cortune.jobs import Job, run
from cortune.probes import tabulate_probes


def main(job: Job) -> None:
    """Write the table of probe accuracies."""
    tabulate_probes(job.project.all_probed(), job.output.table, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
