"""Gather to which side networks look (rule tabulate_lateralization)."""

from cortune.jobs import Job, run
from cortune.saliency import tabulate_lateralization


def main(job: Job) -> None:
    """Write laterality by network, and its tests between hemispheres."""
    tabulate_lateralization(
        job.project.all_saliency(),
        job.output.table,
        job.output.tests,
        job.provenance(),
        n_bootstrap=job.config.statistics.n_bootstrap,
        n_permutations=job.config.saliency.n_permutations,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
