"""Decode a probe's images once (rule prepare_probe)."""

from cortune.jobs import Job, run
from cortune.probes import ProbeSpec, prepare_probe


def main(job: Job) -> None:
    """Write the image cache and its index, with classes and sets."""
    prepare_probe(
        ProbeSpec(**job.config.probes[job.probe].source()),
        job.config.backbone.input_size,
        job.output.images,
        job.output.index,
        job.provenance(),
        workers=job.threads,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
