"""Decode a subject's images once (rule prepare_images)."""

from cortune.data.prepare import prepare_images
from cortune.jobs import Job, run


def main(job: Job) -> None:
    """Write the image cache and its index."""
    reader = job.project.reader(job.dataset)
    prepare_images(
        reader,
        job.wildcards.subject,
        job.config.backbone.input_size,
        job.output.images,
        job.output.index,
        job.provenance(),
        workers=job.threads,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
