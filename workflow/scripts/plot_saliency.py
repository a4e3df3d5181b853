"""Draw where networks look (rule plot_saliency)."""

from cortune.jobs import Job, run
from cortune.probes import read_probe
from cortune.report.saliency_figures import plot_saliency


def main(job: Job) -> None:
    """Draw mean maps, laterality by ROI and over images, and examples."""
    plot_saliency(
        job.project.all_saliency(),
        job.input.table,
        job.input.tests,
        read_probe(job.input.images, job.input.index),
        job.output,
        job.provenance(),
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
