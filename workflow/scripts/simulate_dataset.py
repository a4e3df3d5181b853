"""Write one subject of a simulated data set (rule simulate_dataset)."""

from pathlib import Path

from cortune.jobs import Job, run
from cortune.simulate import simulate_subject


def main(job: Job) -> None:
    """Write the subject's folder, its truth, and a record of what made them."""
    spec = job.project.simulation(job.dataset)
    out, truth = Path(job.output.data), Path(job.output.truth)
    simulate_subject(spec, job.wildcards.subject, out, truth, seed=job.config.seed)
    job.record([job.output.data])


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
