"""Where networks look, and to which side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cortune.address import OF_NETWORK, Address
from cortune.stages.declare import BACKBONE, NETWORK, From, Output, figure, stage, table
from cortune.stages.probes import LABEL, together

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project


def of_probe(project: Project, address: Address) -> Address:
    """Return the address with the probe of saliency."""
    saliency = project.config.saliency
    return address.but(probe=saliency.probe or "" if saliency else "")


IMAGES = From("prepare_probe", "images", of_probe)
INDEX = From("prepare_probe", "index", of_probe)


@stage(
    number=2,
    entities=OF_NETWORK,
    reads=(
        "seed",
        "saliency.probe",
        "saliency.layer",
        "saliency.attribution",
        "saliency.n_images",
    ),
    inputs={
        "networks": From(NETWORK, "network", together),
        "backbone": From(BACKBONE, "network"),
        "probes": From("probe_network", "folder", of_probe),
        "images": IMAGES,
        "index": INDEX,
    },
    outputs={
        "folder": Output(
            "",
            "a file for each network.",
            {
                **LABEL,
                "@layer": "The layer that is looked at.",
                "@attribution": "How (`saliency.attribution`).",
                "@n_empty": "Images whose map, or whose mirror image's, is all zero.",
                "rows": "(n) Rows of the images in the probe's `images.npy`.",
                "li_image": "(n) Laterality index of each image; NaN where its map is zero.",
                "li_mirror": "(n) Of its mirror image, in its own coordinates.",
                "mean_map": "(s, s) Mean over images and mirror images of maps that sum to 1.",
                "examples": "(8, s, s) Maps of the first images.",
                "r_randomised": "Rank correlation of each of some maps with that under random "
                "weights.",
            },
            inside="*saliency.h5",
        )
    },
    gpu=True,
)
def map_saliency(job: Job) -> None:
    """Map where the networks of a subject and method look."""
    from cortune.networks.device import choose_runtime
    from cortune.probes import read_probe
    from cortune.saliency import SaliencyJob, SaliencySettings
    from cortune.saliency import map_saliency as map_each

    settings = job.config.saliency
    runtime = choose_runtime(job.config.device, "float32", threads=job.threads)
    map_each(
        [
            SaliencyJob(
                path,
                job.inside(job.input.probes, network, "probe.h5"),
                job.inside(job.output.folder, network, "saliency.h5"),
            )
            for path, network in job.networks("networks")
        ],
        read_probe(job.input.images, job.input.index),
        job.provenance(notes=runtime.notes()),
        runtime,
        SaliencySettings(settings.layer, settings.attribution, settings.n_images),
        job.input.backbone,
    )


def mapped(project: Project, address: Address) -> Iterable[Address]:
    """Return every job of saliency."""
    return project.probed(project.mapped_methods)


def _has_saliency(project: Project) -> bool:
    return project.has_saliency


MAPPED = From("map_saliency", "folder", mapped)


@stage(
    number=3,
    reads=("seed", "statistics.n_bootstrap", "saliency.n_permutations"),
    inputs={"maps": MAPPED},
    outputs={
        "tests": table("lateralization_tests.csv", "Lateralization"),
        "table": table("lateralization.csv", "Lateralization"),
    },
    when=_has_saliency,
)
def tabulate_lateralization(job: Job) -> None:
    """Gather to which side networks look, and test it between hemispheres."""
    from cortune.saliency import tabulate_lateralization as tabulate

    tabulate(
        job.files("maps", "*saliency.h5"),
        job.output.table,
        job.output.tests,
        job.provenance(),
        n_bootstrap=job.config.statistics.n_bootstrap,
        n_permutations=job.config.saliency.n_permutations,
    )


@stage(
    number=3,
    inputs={
        "maps": MAPPED,
        "table": From("tabulate_lateralization", "table"),
        "tests": From("tabulate_lateralization", "tests"),
        "images": IMAGES,
        "index": INDEX,
    },
    outputs={
        "maps": figure(
            "saliency_maps.png",
            "Lateralization",
            "Mean saliency maps by hemisphere.",
            "Where networks find the evidence for the true class ({{ "
            'config["saliency"]["attribution"] }} at {{ config["saliency"]["layer"] }}), '
            "averaged over images, their mirror images, subjects and replicates; 1 is an even map. "
            "Dashed: the vertical meridian.",
        ),
        "laterality": figure(
            "laterality.png",
            "Lateralization",
            "Laterality index by ROI and hemisphere.",
            "Laterality index (right less left over their sum) of each network's saliency, "
            "averaged over images and their mirror images, less the untuned network's (bars: "
            "95 % bootstrap intervals over images; dashes: replicates, where there are several). "
            "The hypothesis is lh above rh: networks look to the visual field of their hemisphere.",
        ),
        "distributions": figure(
            "laterality_distributions.png",
            "Lateralization",
            "Laterality index over images.",
            "Laterality index of the saliency over images, each averaged with its mirror "
            "image: networks of the left and right hemisphere of all subjects, and the "
            "untuned network (filled). Ticks at the bottom are means.",
        ),
        "examples": figure(
            "saliency_examples.png",
            "Lateralization",
            "Maps of single images.",
            "The first images that were mapped, and where the untuned network, one of the "
            "left and one of the right hemisphere find the evidence for the true class; LI is "
            "that of the image itself.",
        ),
    },
    when=_has_saliency,
)
def plot_saliency(job: Job) -> None:
    """Draw mean maps, laterality by ROI and over images, and examples."""
    from cortune.probes import read_probe
    from cortune.report.saliency_figures import plot_saliency as plot

    plot(
        job.files("maps", "*saliency.h5"),
        job.input.table,
        job.input.tests,
        read_probe(job.input.images, job.input.index),
        job.output,
        job.provenance(),
    )
