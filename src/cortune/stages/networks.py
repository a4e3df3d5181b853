"""Networks: the backbone, and those tuned to responses."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortune.address import OF_NETWORK, UNIT, Address
from cortune.fingerprints import Sources
from cortune.seeds import replicate_seed
from cortune.stages.declare import BACKBONE, NETWORK, RESPONSES, From, Output, figure, stage
from cortune.stages.prepare import IDENTITIES
from cortune.tuning.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortune.jobs import Job
    from cortune.networks.device import Runtime
    from cortune.project import Project
    from cortune.settings import Settings
    from cortune.versions import Provenance

_HISTORY = {
    "epoch": "From 1.",
    "loss": "Mean over batches.",
    "validation_<measure>": "Of the network on validation images: of contrastive methods the "
    "InfoNCE bound in nats (`bound_nats`) and the most it can say (`log_k`), of regression the "
    "squared error (`mse`) and mean r (`r`).",
    "temperature": "Of contrastive methods, fixed or learned.",
}
_NETWORK = Output(
    "network.safetensors",
    "Weights, `backbone.…` and `head.…`; in the metadata the model's name, number of classes, and "
    "the identities of the images it was tuned on or selected by. Of a network of which a part was "
    "tuned (`tuning.adapt`), what changed of `backbone.…`, and the SHA-256 of the file it changed "
    "from.",
)
_TUNED = {
    "network": _NETWORK,
    "history": Output("history.csv", "a row per epoch.", _HISTORY),
    "embeddings": Output(
        "embeddings.h5",
        "what a contrastive head makes of each unit's test images; empty for regression. The unit "
        "of a network that is tuned to one alone is called `one`, others as `subj01 lh V1v`.",
        {
            "<unit>/identities": IDENTITIES,
            "<unit>/image_z": "(n, z) Embedding of each test image.",
            "<unit>/response_z": "(n, z) Embedding of the response to it.",
            "<unit>/tuned_on": "Identities that the network was tuned on or selected by.",
        },
    ),
}


def _weights(settings: Settings, address: Address) -> Sources:
    """Return the file of local weights, where that is what the configuration names."""
    path = Path(settings.backbone.weights).expanduser()
    return Sources([("weights", path)] if path.is_file() else [])


def _runtime(job: Job) -> Runtime:
    from cortune.networks.device import choose_runtime

    return choose_runtime(job.config.device, job.config.tuning.precision, threads=job.threads)


def _named_weights(project: Project, address: Address) -> dict[str, Any]:
    """Return the name of weights that are no file, and how images are shown to the network.

    Where a file lies does not matter.
    """
    weights = project.config.backbone.weights
    name = "" if Path(weights).expanduser().is_file() else weights
    return {"weights": name, "preprocessing": asdict(project.preprocessing)}


def _input_size(project: Project, address: Address) -> int:
    return project.preprocessing.input_size


@stage(
    number=2,
    reads=("seed", "backbone.name", "backbone.input_size"),
    places=("backbone.weights",),
    checks=("backbone.layers",),
    sources=_weights,
    facts=_named_weights,
    outputs={"network": _NETWORK},
)
def prepare_backbone(job: Job) -> None:
    """Write the backbone with its torchvision, local or random weights."""
    from cortune.tuning.stages import prepare_backbone as prepare

    prepare(job.config.backbone, job.output.network, job.provenance(), job.config.seed)


@stage(
    number=3,
    reads=(
        "seed",
        "backbone.name",
        "backbone.input_size",
        "backbone.pretrain",
        "tuning.precision",
    ),
    checks=("backbone.layers",),
    facts=_input_size,
    outputs={
        "network": _NETWORK,
        "history": Output("history.csv", "a row per epoch.", _HISTORY),
        "accuracy": Output(
            "accuracy.json",
            "how well it classifies scenes that it was not trained on.",
            {
                "accuracy": "Share of them classified correctly.",
                "chance": "One over the number of classes.",
                "n_test": "How many there are.",
                "provenance": "As in other artifacts.",
            },
        ),
    },
    gpu=True,
)
def pretrain_backbone(job: Job) -> None:
    """Train the backbone on labelled simulated scenes."""
    from cortune.tuning.stages import pretrain_backbone as pretrain

    runtime = _runtime(job)
    pretrain(
        job.config.backbone,
        job.output,
        job.provenance(notes=runtime.notes()),
        runtime,
        seed=job.config.seed,
        checkpoint=job.scratch(job.output.network),
    )


def _draw(job: Job, runtime: Runtime) -> Provenance:
    """Return the provenance of a tuned network, whose seed is that of its replicate."""
    provenance = job.provenance(notes=runtime.notes())
    return replace(provenance, seed=replicate_seed(provenance.seed, job.address.replicate))


_TUNES = ("seed", "tuning.precision", "tuning.adapt", "{recipe}")


@stage(
    number=4,
    entities=OF_NETWORK,
    reads=_TUNES,
    inputs={
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images"),
        "index": From("prepare_images", "index"),
        "responses": From(RESPONSES, "responses"),
        "split": From("split_images", "split"),
    },
    outputs=_TUNED,
    gpu=True,
)
def tune_network(job: Job) -> None:
    """Tune one network to one ROI of one subject."""
    from cortune.data.units import load_unit
    from cortune.tuning.stages import tune_network as tune

    runtime, address = _runtime(job), job.address
    tune(
        address.method,
        load_unit(job.input, address.roi),
        job.recipe,
        job.input.backbone,
        job.output,
        _draw(job, runtime),
        runtime,
        seeded=address.seeded,
        how=job.config.tuning.adapt,
        checkpoint=job.scratch(job.output.network),
        workers=job.config.tuning.workers,
    )


def pool(project: Project, address: Address) -> Iterable[Address]:
    """Return the units that a network of several is tuned to."""
    return project.pool(address)


def _units(project: Project, address: Address) -> dict[str, Any]:
    """Return the units that a network of several is tuned to, and how large the largest ROI is."""
    units = [[getattr(unit, name) for name in UNIT] for unit in project.pool(address)]
    largest = project.largest_roi if METHODS[address.method].largest else None
    return {"units": units, "largest": largest}


@stage(
    number=4,
    entities=OF_NETWORK,
    reads=(*_TUNES, "tuning.pooled_order"),
    facts=_units,
    inputs={
        "backbone": From(BACKBONE, "network"),
        "images": From("prepare_images", "images", pool),
        "index": From("prepare_images", "index", pool),
        "responses": From("prepare_responses", "responses", pool),
        "split": From("split_images", "split", pool),
    },
    outputs=_TUNED,
    gpu=True,
)
def tune_pooled(job: Job) -> None:
    """Tune one network to several units: of several subjects, or all ROIs of one."""
    from cortune.data.units import load_units
    from cortune.tuning.stages import tune_pooled as tune

    runtime, address = _runtime(job), job.address
    tune(
        address.method,
        load_units(job.input, [Address(*unit) for unit in job.facts["units"]]),
        job.recipe,
        job.input.backbone,
        job.output,
        _draw(job, runtime),
        runtime,
        largest_roi=job.facts["largest"],
        interleaved=job.config.tuning.pooled_order == "interleaved",
        seeded=address.seeded,
        how=job.config.tuning.adapt,
        checkpoint=job.scratch(job.output.network),
        workers=job.config.tuning.workers,
    )


def tuned(project: Project, address: Address) -> Iterable[Address]:
    """Return every tuned network."""
    return project.networks(project.tuned_methods)


@stage(
    number=2,
    inputs={"histories": From(NETWORK, "history", tuned)},
    outputs={
        "curves": figure(
            "training_curves.png",
            "Tuning",
            "Loss and validation measure by epoch.",
            "Training loss and InfoNCE bound on the mutual information between validation "
            "images and responses by epoch, one line per network (solid: left hemisphere, "
            "dashed: right, dash-dotted: both).",
        )
    },
)
def plot_tuning(job: Job) -> None:
    """Draw the training curves of all tuned networks."""
    from cortune.report.tables import encoded_units
    from cortune.report.tuning_figures import plot_tuning as plot

    plot(encoded_units(job.inputs("histories")), job.output.curves, job.provenance())
