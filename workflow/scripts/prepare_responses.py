"""Read a hemisphere's responses from the raw layout (rule prepare_responses)."""

from cortune.data.prepare import prepare_responses
from cortune.jobs import Job, run


def main(job: Job) -> None:
    """Write the responses of every vertex that belongs to an ROI."""
    reader = job.project.reader(job.dataset)
    wildcards = job.wildcards
    prepare_responses(
        reader, wildcards.subject, wildcards.hemisphere, job.output.responses, job.provenance()
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
