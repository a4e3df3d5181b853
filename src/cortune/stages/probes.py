"""Probes: what networks still tell of the classes of labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import OF_NETWORK, Address
from cortune.fingerprints import Sources
from cortune.stages.declare import BACKBONE, NETWORK, From, Output, figure, stage, table
from cortune.stages.encoding import ENCODING_TABLE

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project
    from cortune.settings import Settings

LABEL = {
    "@model": "Name of the network.",
    "@dataset": "What it was tuned on; empty where that does not apply.",
    "@subject": "",
    "@hemisphere": "",
    "@roi": "",
    "@method": "How it was tuned.",
    "@replicate": "Which of the networks of its unit and method, from 0.",
    "@probe": "Name of the probe.",
}


def probe_spec(config: Any, probe: str) -> Any:
    """Return what a probe's images are."""
    from cortune.probes import ProbeSpec

    settings = config.probes[probe]
    return ProbeSpec(
        kind=settings.kind,
        root=settings.root or "",
        split=settings.split,
        images_per_class=settings.images_per_class or 0,
        n_images=settings.n_images or 0,
        n_classes=settings.n_classes or 0,
    )


def _framing(project: Project, address: Address) -> dict[str, Any]:
    """Return that pictures are cropped as the backbone's makers do."""
    return project.framing(crop=True)


def _raw(settings: Settings, address: Address) -> Sources:
    """Return the labelled pictures on disk."""
    if not settings.probes[address.probe].root:
        return Sources()
    from cortune.probes import source_files

    spec = probe_spec(settings, address.probe)
    root = Path(spec.root).expanduser()
    return Sources([(path.relative_to(root).as_posix(), path) for path in source_files(spec)])


@stage(
    number=2,
    entities=("probe",),
    reads=(
        "seed",
        "backbone.input_size",
        *(
            f"probes.{{probe}}.{key}"
            for key in ("kind", "split", "images_per_class", "n_images", "n_classes")
        ),
    ),
    places=("probes.{probe}.root",),
    sources=_raw,
    facts=_framing,
    outputs={
        "images": Output("images.npy", "(n, s, s, 3) uint8, the labelled pictures."),
        "index": Output(
            "index.csv",
            "a row per row of `images.npy`.",
            {
                "image": "The picture.",
                "label": "Number of its class.",
                "class": "Name of its class.",
                "set": "`train` or `test`.",
            },
        ),
    },
)
def prepare_probe(job: Job) -> None:
    """Decode a probe's images once."""
    from cortune.data.images import Framing
    from cortune.probes import prepare_probe as prepare

    prepare(
        probe_spec(job.config, job.address.probe),
        Framing(**job.facts),
        job.output.images,
        job.output.index,
        job.provenance(),
        workers=job.threads,
    )


def together(project: Project, address: Address) -> list[Address]:
    """Return the networks that a job looks into."""
    return project.together(address)


@stage(
    number=4,
    entities=("probe", *OF_NETWORK),
    reads=(
        "seed",
        "probes.{probe}.layer",
        "probes.{probe}.penalties",
        "probes.{probe}.max_iter",
        "backbone.tokens",
    ),
    inputs={
        "networks": From(NETWORK, "network", together),
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_probe", "images"),
        "index": From("prepare_probe", "index"),
    },
    outputs={
        "folder": Output(
            "",
            "a file for each network.",
            {
                **LABEL,
                "@layer": "The layer that is classified.",
                "@tokens": "What of its tokens.",
                "@n_train": "Images that the classifier is fitted on.",
                "@penalty": "L2 penalty that was chosen.",
                "@n_iter": "Iterations of the fit.",
                "@converged": "Whether it ended before `max_iter`.",
                "classes": "Names of the C classes.",
                "weights": "(C, features) Of the features as they are: standardisation is folded "
                "in.",
                "bias": "(C)",
                "log_probabilities": "(n, C) Logarithms of the classes', on test images.",
                "labels": "(n) Their classes.",
                "test_rows": "(n) Their rows in the probe's `images.npy`.",
            },
            inside="*probe.h5",
        )
    },
    gpu=True,
)
def probe_network(job: Job) -> None:
    """Probe the networks of a subject and method."""
    from cortune.networks.device import choose_runtime
    from cortune.probes import NetworkLabel, ProbeJob, probe_networks, read_probe

    config, probe = job.config, job.address.probe
    runtime = choose_runtime(config.device, "float32", threads=job.threads)
    settings = config.probes[probe]
    jobs = []
    for path, network in job.networks("networks"):
        label = NetworkLabel(network.model, **network.label | {"dataset": job.address.dataset})
        jobs.append(ProbeJob(label, path, job.inside(job.output.folder, network, "probe.h5")))
    probe_networks(
        jobs,
        read_probe(job.input.images, job.input.index),
        job.provenance(notes=runtime.notes()),
        runtime,
        probe=probe,
        layer=settings.layer,
        tokens=config.backbone.tokens,
        base=job.input.backbone,
        penalties=settings.penalties,
        max_iter=settings.max_iter,
        batch_size=config.features.batch_size,
    )


def probed(project: Project, address: Address) -> Iterable[Address]:
    """Return every job of probes."""
    return [each.but(probe=probe) for probe in project.probes for each in project.probed()]


PROBED = From("probe_network", "folder", probed)


def has_probes(project: Project) -> bool:
    """Return whether there are probes."""
    return bool(project.probes)


@stage(
    number=3,
    inputs={"probes": PROBED},
    outputs={"table": table("probes.csv", "Probes")},
    when=has_probes,
)
def tabulate_probes(job: Job) -> None:
    """Gather what the probes classify."""
    from cortune.probes import tabulate_probes as tabulate

    tabulate(job.files("probes", "*probe.h5"), job.output.table, job.provenance())


@stage(
    number=1,
    inputs={"table": From("tabulate_probes", "table")},
    outputs={
        "figure": figure(
            "probe_accuracy.png",
            "Probes",
            "Classification accuracy by ROI and method.",
            "Accuracy of logistic regression on a layer of each network, on images it was not "
            "fitted on (points: networks with Wilson's 95 % interval, or means over replicates, "
            "each a dash; grey: the untuned "
            "network; dotted: chance).",
        )
    },
    when=has_probes,
)
def plot_probes(job: Job) -> None:
    """Draw the accuracy of the probes by ROI and method."""
    from cortune.report.probe_figures import plot_probes as plot

    plot(job.input.table, job.output.figure, job.provenance())


@stage(
    number=1,
    reads=("encoding.protocols",),
    inputs={"probes": From("tabulate_probes", "table"), "encoding": ENCODING_TABLE},
    outputs={
        "figure": figure(
            "encoding_gain_against_forgetting.png",
            "Probes",
            "What tuning gains against what it forgets.",
            "What tuning gains in encoding (mean r over the untuned network's) against what "
            "it loses in classification (small points: units; large ones: means over units, "
            "with the standard deviation over subjects). Up is a better model of the brain, "
            "right a worse classifier.",
        )
    },
    when=has_probes,
)
def plot_forgetting(job: Job) -> None:
    """Draw what tuning gains in encoding against what it loses in accuracy."""
    from cortune.report.probe_figures import plot_forgetting as plot

    plot(
        job.input.encoding,
        job.input.probes,
        job.output.figure,
        job.provenance(),
        protocol=job.config.encoding.protocols[0],
    )
