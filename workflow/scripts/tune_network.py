"""Tune one network to one ROI (rule tune_network)."""

from cortune.data.units import load_unit
from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.tuning.stages import tune_network


def main(job: Job) -> None:
    """Write the tuned network and its history."""
    runtime = choose_runtime(job.config.device, job.config.tuning.precision, threads=job.threads)
    unit = load_unit(job.input, job.wildcards.roi)
    provenance = job.provenance(notes=runtime.notes())
    tune_network(
        job.method,
        unit,
        job.config.recipe(job.method),
        job.input.backbone,
        job.output,
        provenance,
        runtime,
        workers=job.config.tuning.workers,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
