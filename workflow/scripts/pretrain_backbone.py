"""Train the backbone on labelled simulated scenes (rule pretrain_backbone)."""

from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.tuning.stages import pretrain_backbone


def main(job: Job) -> None:
    """Write the trained backbone, its history and its held-out accuracy."""
    runtime = choose_runtime(job.config.device, job.config.tuning.precision, threads=job.threads)
    provenance = job.provenance(notes=runtime.notes())
    pretrain_backbone(job.config.backbone, job.output, provenance, runtime, seed=job.config.seed)


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
