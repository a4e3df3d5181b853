"""Bound the information of one tuned network and ROI (rule bound_information)."""

from cortune.information import bound_information
from cortune.jobs import Job, run
from cortune.tuning.embeddings import read_embedding


def main(job: Job) -> None:
    """Write the bound on the test images."""
    embedding = read_embedding(job.input.embeddings, job.wildcards.subject)
    bound_information(embedding, job.output.bound, job.provenance())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
