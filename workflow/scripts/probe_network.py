"""Probe networks of one method (rule probe_network)."""

from cortune.jobs import Job, run
from cortune.networks.device import choose_runtime
from cortune.probes import NetworkLabel, ProbeJob, probe_networks, read_probe


def main(job: Job) -> None:
    """Write how each network of a subject, or of none, classifies the probe's images."""
    config, project = job.config, job.project
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    settings = config.probes[job.probe]
    networks = project.networks_of(job.wildcards.networks, job.method)
    probe_networks(
        [
            ProbeJob(
                NetworkLabel(n.model, project.dataset, n.subject, n.hemisphere, n.roi, n.method),
                n.path,
                project.probed(n, job.probe),
            )
            for n in networks
        ],
        read_probe(job.input.images, job.input.index),
        job.provenance(notes=runtime.notes()),
        runtime,
        probe=job.probe,
        layer=settings.layer,
        penalty=settings.penalty,
        max_iter=settings.max_iter,
        batch_size=config.features.batch_size,
    )


if __name__ == "__main__":
    run(snakemake, main)  # type: ignore[name-defined]  # noqa: F821
