"""Map where networks of one method look (rule map_saliency)."""

from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.probes import read_probe
from cortune.saliency import SaliencyJob, SaliencySettings, map_saliency


def main(job: Job) -> None:
    """Write the saliency of each network of a subject, or of none."""
    config, project = job.config, job.project
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    settings = config.saliency
    networks = project.networks_of(job.wildcards.networks, job.method)
    map_saliency(
        [
            SaliencyJob(n.path, project.probed(n, settings.probe), project.saliency(n))
            for n in networks
        ],
        read_probe(job.input.images, job.input.index),
        job.provenance(notes=runtime.notes()),
        runtime,
        SaliencySettings(settings.layer, settings.attribution, settings.n_images),
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
