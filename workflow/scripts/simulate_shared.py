"""Write the files of a simulated data set that belong to no subject (rule simulate_shared)."""

from cortune.jobs import Job, run
from cortune.simulate import simulate_nod_support, simulate_nsd_stimuli


def main(job: Job) -> None:
    """Write stimuli and design (raw NSD), or the parcellation (NOD), and a record."""
    root, seed = job.project.root(job.dataset), job.config.seed
    if job.wildcards.layout == "nsd":
        written = simulate_nsd_stimuli(job.project.simulation(job.dataset), root, seed)
    else:
        written = simulate_nod_support(root, seed)
    job.record(written)


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
