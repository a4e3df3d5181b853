"""Tune one network to the same ROI of several subjects (rule tune_pooled)."""

from cortune.data.units import load_units
from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.tuning.stages import tune_pooled


def main(job: Job) -> None:
    """Write the tuned network and its history."""
    runtime = choose_runtime(job.config.device, job.config.tuning.precision, threads=job.threads)
    tune_pooled(
        job.method,
        load_units(job.input, job.params.subjects, job.params.roi),
        job.config.recipe(job.method),
        job.input.backbone,
        job.output,
        job.provenance(notes=runtime.notes()),
        runtime,
        largest_roi=job.project.largest_roi,
        workers=job.config.tuning.workers,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
