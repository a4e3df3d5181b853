"""Write one subject of a simulated NOD (rule simulate_nod)."""

from cortune.artifacts import write_json
from cortune.jobs import Job, run
from cortune.simulate import simulate_nod_subject


def main(job: Job) -> None:
    """Write the subject's runs and pictures, its truth, and a record of what made them."""
    spec, root = job.project.simulation(job.dataset), job.project.root(job.dataset)
    subject = f"sub{job.wildcards.number}"
    simulate_nod_subject(spec, subject, root, job.output.truth, job.config.seed)
    write_json(job.output.record, job.provenance().as_dict())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
