"""How alike layers of networks and regions of cortex are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cortune.address import OF_NETWORK, UNIT, Address
from cortune.data import LAYOUTS
from cortune.stages.declare import RESPONSES, From, Output, figure, stage, table
from cortune.stages.encoding import ENCODING_TABLE
from cortune.stages.prepare import PREPARES, reader_of

if TYPE_CHECKING:
    from cortune.jobs import Job
    from cortune.project import Project

_HEMISPHERE = ("dataset", "subject", "hemisphere")
_ROWS = {"layer": "Layer.", "measure": "`cka` or `rsa`.", "value": "How alike, at most 1."}


def compared(project: Project, address: Address) -> list[Address]:
    """Return every unit and method whose similarity is measured."""
    similarity = project.config.similarity
    if similarity is None:
        return []
    return project.addresses(similarity.methods or project.config.tuning.methods)


def of_subject(project: Project, address: Address) -> list[Address]:
    """Return those of a subject."""
    return [each for each in compared(project, address) if each.subject == address.subject]


def regions(project: Project, address: Address) -> Iterable[Address]:
    """Return the units whose responses are compared between subjects."""
    return dict.fromkeys(each.only(*UNIT) for each in compared(project, address))


def subjects(project: Project, address: Address) -> Iterable[Address]:
    """Return the subjects whose networks are compared."""
    return dict.fromkeys(each.only("dataset", "subject") for each in compared(project, address))


def repeated(project: Project, address: Address) -> list[Address]:
    """Return the hemispheres whose repeats are compared: of a layout that keeps them."""
    found = dict.fromkeys(each.only(*_HEMISPHERE) for each in compared(project, address))
    return [at for at in found if LAYOUTS[project.config.datasets[at.dataset].layout].keeps_repeats]


def _any(project: Project) -> bool:
    return project.config.similarity is not None


@stage(
    number=1,
    entities=OF_NETWORK,
    reads=("seed", "similarity.layers", "similarity.n_bootstrap"),
    inputs={
        "grams": From("extract_features", "grams"),
        "responses": From(RESPONSES, "responses"),
    },
    outputs={
        "rows": Output(
            "similarity.csv",
            "a row per layer and measure.",
            {
                **_ROWS,
                "ci_low": "Lower end of the 95 % interval over images.",
                "ci_high": "Upper end.",
                "n_images": "Images compared.",
            },
        )
    },
)
def measure_similarity(job: Job) -> None:
    """Measure how alike the layers of a network and an ROI's responses are."""
    from cortune.report.similarity import measure_similarity as measure

    settings = job.config.similarity
    measure(
        job.input.grams,
        job.input.responses,
        job.address.roi,
        job.output.rows,
        job.provenance(),
        layers=settings.layers,
        n_bootstrap=settings.n_bootstrap,
    )


@stage(
    number=1,
    entities=("dataset", "subject"),
    reads=("similarity.layers",),
    inputs={"grams": From("extract_features", "grams", of_subject)},
    outputs={
        "rows": Output(
            "networks.csv",
            "a row per pair of networks, layer and measure.",
            {"a": "One network.", "b": "Another.", **_ROWS},
        )
    },
)
def compare_networks(job: Job) -> None:
    """Measure how alike the networks of a subject are, layer by layer."""
    from cortune.report.similarity import compare_networks as compare

    compare(
        job.inputs("grams"), job.output.rows, job.provenance(), layers=job.config.similarity.layers
    )


@stage(
    number=1,
    **{**PREPARES, "inputs": {**PREPARES["inputs"], "split": From("split_images", "split")}},
    outputs={
        "ceilings": Output(
            "ceilings.csv",
            "how alike noiseless responses and the measured ones are, from repeats of raw NSD's "
            "test images.",
            {
                "roi": "ROI.",
                "measure": _ROWS["measure"],
                "ceiling_repeats": "As in `similarity.csv`.",
            },
        )
    },
)
def relate_repeats(job: Job) -> None:
    """Measure how alike the responses to odd and to even repeats of test images are."""
    from cortune.data.splits import read_split
    from cortune.report.similarity import relate_repeats as relate

    split = read_split(job.input.split)
    test = {identity for identity, name in split.items() if name == "test"}
    halves = reader_of(job).halves(job.address.subject, job.address.hemisphere, test)
    relate(halves, job.output.ceilings, job.provenance())


@stage(
    number=2,
    inputs={
        "rows": From("measure_similarity", "rows", compared),
        "networks": From("compare_networks", "rows", subjects),
        "responses": From(RESPONSES, "responses", regions),
        "splits": From("split_images", "split", subjects),
        "repeats": From("relate_repeats", "ceilings", repeated),
    },
    outputs={
        "similarity": table("similarity.csv", "Similarity"),
        "networks": table("similarity_networks.csv", "Similarity"),
    },
    when=_any,
)
def tabulate_similarity(job: Job) -> None:
    """Gather the similarities, and set beside them how alike subjects are."""
    from cortune.report.similarity import tabulate_similarity as tabulate

    tabulate(
        job.inputs("rows"),
        job.inputs("networks"),
        job.inputs("responses"),
        job.inputs("splits"),
        job.inputs("repeats"),
        job.output,
        job.provenance(),
    )


@stage(
    number=1,
    inputs={"table": From("tabulate_similarity", "similarity"), "encoding": ENCODING_TABLE},
    outputs={
        "layers": figure(
            "similarity_by_layer.png",
            "Similarity",
            "How alike layers and ROIs are.",
            "Debiased linear CKA and RSA (Spearman correlation of correlation distances) of each "
            "layer with each ROI, over test images; mean over subjects and hemispheres.",
        ),
        "gains": figure(
            "similarity_gains.png",
            "Similarity",
            "Where tuning raises similarity and where it raises encoding accuracy.",
            "Gain over the untuned network of a unit, in the similarity of its most similar layer "
            "and in encoding accuracy (r), a point per unit and method. The title gives their "
            "rank correlation.",
        ),
    },
    when=_any,
)
def plot_similarity(job: Job) -> None:
    """Draw how alike layers and ROIs are, and whether encoding gains where similarity does."""
    from cortune.report.similarity import plot_similarity as plot

    plot(job.input.table, job.input.encoding, job.output, job.provenance())
