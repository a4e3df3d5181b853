"""Draw what tuning gains against what it forgets (rule plot_forgetting)."""

from cortune.jobs import Job, run
from cortune.report.probe_figures import plot_forgetting


def main(job: Job) -> None:
    """Draw the encoding gain against the probe accuracy lost."""
    plot_forgetting(
        job.input.encoding,
        job.input.probes,
        job.output.figure,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
