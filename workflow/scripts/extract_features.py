"""Run a network once over its subject's images (rule extract_features)."""

from cortune.data.units import load_images
from cortune.features import extract_features
from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime


def main(job: Job) -> None:
    """Write the Gram matrices of all layers."""
    config = job.config
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    n_tune = max(config.encoding.size_curve.sizes, default=0)
    images = load_images(job.input, config.features.images, n_tune=n_tune, seed=config.seed)
    extract_features(
        job.input.network,
        config.backbone.layers,
        images,
        job.output.grams,
        job.provenance(notes=runtime.notes()),
        runtime,
        batch_size=config.features.batch_size,
        memory=config.features.memory_gb * 1e9,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
