"""Place all networks in one landscape (rule embed_networks)."""

from cortune.jobs import Job, run
from cortune.landscape import Settings, embed_networks


def main(job: Job) -> None:
    """Write dissimilarities, coordinates, axes and tests."""
    landscape = job.config.landscape
    embed_networks(
        job.project.all_probed(),
        job.output,
        job.provenance(),
        Settings(tuple(landscape.methods), landscape.n_permutations),
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
