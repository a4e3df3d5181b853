"""Draw the encoding scores on the cortical surface (rule plot_cortex)."""

from cortune.jobs import Job, run
from cortune.report.cortex import plot_cortex


def main(job: Job) -> None:
    """Draw one method's scores, mean over subjects."""
    plot_cortex(
        job.input.voxels,
        job.project.responses(),
        job.output.figure,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
        method=job.project.shown_method,
        surface=job.config.cortex.surface,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
