"""Write one subject of a simulated raw NSD (rule simulate_nsd)."""

from cortune.jobs import Job, run
from cortune.simulate import simulate_nsd_subject


def main(job: Job) -> None:
    """Write the subject's sessions and labels, its truth, and a record of what made them."""
    spec, root = job.project.simulation(job.dataset), job.project.root(job.dataset)
    simulate_nsd_subject(spec, job.wildcards.subject, root, job.output.truth, job.config.seed)
    job.record([job.output.betas, job.output.labels])


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
