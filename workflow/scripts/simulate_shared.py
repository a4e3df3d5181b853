"""Write the files of a simulated data set that belong to no subject (rule simulate_shared)."""

from cortune.artifacts import write_json
from cortune.jobs import Job, run
from cortune.simulate import simulate_nod_support, simulate_nsd_stimuli


def main(job: Job) -> None:
    """Write stimuli and design (raw NSD), or the parcellation (NOD), and a record."""
    root, seed = job.project.root(job.dataset), job.config.seed
    if job.wildcards.layout == "nsd":
        simulate_nsd_stimuli(job.project.simulation(job.dataset), root, seed)
    else:
        simulate_nod_support(root, seed)
    write_json(job.output.record, job.provenance().as_dict())


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
