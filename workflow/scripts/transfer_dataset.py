"""Encode another data set from the features of a network (rule transfer_dataset)."""

from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.transfer import targets, transfer_network


def main(job: Job) -> None:
    """Write the encodings of every target subject and ROI."""
    config = job.config
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    transfer_network(
        job.input.network,
        config.backbone.layers,
        targets(job.params.units, job.input),
        job.output.encodings,
        job.provenance(notes=runtime.notes()),
        runtime,
        job.encoding_settings(),
        protocol=config.encoding.protocols[0],
        n_folds=config.encoding.folds,
        batch_size=config.features.batch_size,
        memory=config.features.memory_gb * 1e9,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
