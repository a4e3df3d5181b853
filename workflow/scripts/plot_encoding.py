"""Draw the encoding scores (rule plot_encoding)."""

from cortune.jobs import Job, run
from cortune.report.encoding_figures import plot_encoding


def main(job: Job) -> None:
    """Write the encoding figures."""
    plot_encoding(
        job.input.encoding,
        job.input.layers,
        job.input.voxels,
        job.output,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
