"""Write one subject of a simulated NOD (rule simulate_nod)."""

from cortune.jobs import Job, run
from cortune.simulate import simulate_nod_subject


def main(job: Job) -> None:
    """Write the subject's runs and pictures, its truth, and a record of what made them."""
    spec, root = job.project.simulation(job.dataset), job.project.root(job.dataset)
    subject = f"sub{job.wildcards.number}"
    pictures = simulate_nod_subject(spec, subject, root, job.output.truth, job.config.seed)
    job.record([job.output.events, job.output.derivatives, *pictures])


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
