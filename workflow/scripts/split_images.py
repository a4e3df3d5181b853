"""Assign a subject's images to tuning, validation and test (rule split_images)."""

from cortune.data.images import read_index
from cortune.data.prepare import split_images
from cortune.jobs import Job, run


def main(job: Job) -> None:
    """Write the set of every image."""
    identities = read_index(job.input.index)
    fractions = dict(job.config.split)
    split_images(identities, job.config.seed, fractions, job.output.split, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
