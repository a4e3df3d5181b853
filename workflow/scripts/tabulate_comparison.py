"""Compare the tuning methods (rule tabulate_comparison)."""

from cortune.jobs import Job, run
from cortune.report.tables import tabulate_comparison


def main(job: Job) -> None:
    """Write the comparison of every pair of methods."""
    tabulate_comparison(
        job.input.encoding,
        job.input.voxels,
        job.output.comparison,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
        methods=job.config.tuning.methods,
        n_bootstrap=job.config.statistics.n_bootstrap,
        n_permutations=job.config.statistics.n_permutations,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
