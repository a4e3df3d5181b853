"""Load the backbone's weights (rule prepare_backbone)."""

from cortune.jobs import Job, run
from cortune.tuning.stages import prepare_backbone


def main(job: Job) -> None:
    """Write the backbone as a network of Cortune."""
    prepare_backbone(job.config.backbone, job.output.network, job.provenance(), job.config.seed)


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
